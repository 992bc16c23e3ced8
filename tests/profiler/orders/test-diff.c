/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/diff.h"

#include <math.h>

#include "profiler/orders/error.h"
#include "tests/profiler/orders/orders.h"

static void assert_close(double is, double should)
{
    assert_true(fabs(is - should) < 1e-9);
}

static void an_order_agrees_with_itself(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(40);

    for (guint round = 0; round < 100; round++) {
        g_autoptr(PageOrder) order = random_order(rand, 60, FALSE);
        g_autoptr(OrderDiff) diff = order_diff(order, order, NULL);

        assert_close(diff->jaccard, 1);
        assert_int_equal(diff->n_pages_common, n_pages_in(order));
        assert_int_equal(diff->only_a->extents->len, 0);
        assert_int_equal(diff->only_b->extents->len, 0);
        if (diff->n_pages_common > 1) {
            assert_close(diff->tau, 1);
        }
    }
}

static void empty_orders_agree_but_have_no_sequence(void **state)
{
    g_autoptr(PageOrder) a = empty_order();
    g_autoptr(PageOrder) b = page_order_new();
    g_autoptr(OrderDiff) diff = order_diff(a, b, NULL);

    assert_close(diff->jaccard, 1);
    assert_true(isnan(diff->tau));
}

static void disjoint_orders_have_nothing_in_common(void **state)
{
    g_autoptr(PageOrder) a = ORDER_OF({RAM, 0, 5, 0});
    g_autoptr(PageOrder) b = ORDER_OF({VRAM, 0, 5, 0});
    g_autoptr(OrderDiff) diff = order_diff(a, b, NULL);

    assert_close(diff->jaccard, 0);
    assert_true(isnan(diff->tau));
    assert_extents(diff->only_a, a);
    assert_extents(diff->only_b, b);
}

static void a_reversed_sequence_has_the_opposite_rank(void **state)
{
    g_autoptr(PageOrder) a = empty_order();
    g_autoptr(PageOrder) b = empty_order();

    for (guint i = 0; i < 10; i++) {
        add(a, RAM, 2 * i, 1, i);
        add(b, RAM, 2 * (9 - i), 1, i);
    }
    g_autoptr(OrderDiff) diff = order_diff(a, b, NULL);

    assert_close(diff->jaccard, 1);
    assert_close(diff->tau, -1);
}

static void pages_in_one_order_only_are_told_in_its_sequence(void **state)
{
    g_autoptr(PageOrder) a = ORDER_OF({RAM, 50, 4, 1000}, {RAM, 0, 8, 5000});
    g_autoptr(PageOrder) b = ORDER_OF({RAM, 4, 2, 0});
    g_autoptr(OrderDiff) diff = order_diff(a, b, NULL);

    ASSERT_EXTENTS(diff->only_a, {RAM, 50, 4, 1000}, {RAM, 0, 4, 5000},
                   {RAM, 6, 2, 5000});
    assert_int_equal(diff->only_b->extents->len, 0);
    assert_int_equal(diff->n_pages_a, 12);
    assert_int_equal(diff->n_pages_b, 2);
    assert_int_equal(diff->n_pages_common, 2);
    assert_close(diff->jaccard, 2.0 / 12);
}

static void blocks_are_compared_by_name(void **state)
{
    g_autoptr(PageOrder) a = ORDER_OF({VRAM, 3, 2, 0});
    g_autoptr(PageOrder) b = page_order_new();

    page_order_add_block(b, "vga.vram", VRAM_PAGES * 4096, 4096);
    add(b, 0, 3, 2, 0);
    g_autoptr(OrderDiff) diff = order_diff(a, b, NULL);

    assert_close(diff->jaccard, 1);
}

static void different_page_sizes_cannot_be_compared(void **state)
{
    g_autoptr(PageOrder) a = empty_order();
    g_autoptr(PageOrder) b = page_order_new();
    g_autoptr(GError) error = NULL;

    page_order_add_block(b, "vga.vram", VRAM_PAGES * 4096, 512);
    assert_null(order_diff(a, b, &error));
    assert_true(
        g_error_matches(error, PROFILER_ERROR, PROFILER_ERROR_MISMATCH));
}

/* Kendall's tau by its definition, over all pairs of common pages. */
static double plain_tau(const PageOrder *a, const PageOrder *b)
{
    g_autoptr(GArray) places = g_array_new(FALSE, FALSE, 2 * sizeof(gint64));
    gint64 sum = 0;
    gint64 n;

    for (uint32_t block = 0; block < N_BLOCKS; block++) {
        g_autofree gint64 *in_a = owners_of(a, block);
        g_autofree gint64 *in_b = owners_of(b, block);

        for (guint page = 0; page < n_pages_of(block); page++) {
            gint64 place[] = {in_a[page] * 1000 + page,
                              in_b[page] * 1000 + page};

            if (in_a[page] >= 0 && in_b[page] >= 0) {
                g_array_append_val(places, place);
            }
        }
    }
    n = places->len;
    for (gint64 i = 0; i < n; i++) {
        const gint64 *p = (gint64 *)places->data + 2 * i;

        for (gint64 k = 0; k < i; k++) {
            const gint64 *q = (gint64 *)places->data + 2 * k;

            sum += (p[0] < q[0]) == (p[1] < q[1]) ? 1 : -1;
        }
    }
    return n < 2 ? NAN : 2.0 * (double)sum / (double)(n * (n - 1));
}

static void counts_agree_with_a_count_page_by_page(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(41);

    for (guint round = 0; round < 100; round++) {
        g_autoptr(PageOrder) a = random_order(rand, 50, FALSE);
        g_autoptr(PageOrder) b = random_order(rand, 50, FALSE);
        g_autoptr(OrderDiff) diff = order_diff(a, b, NULL);
        double tau = plain_tau(a, b);

        assert_int_equal(diff->n_pages_a, n_pages_in(a));
        assert_int_equal(diff->n_pages_b, n_pages_in(b));
        assert_int_equal(n_pages_in(diff->only_a),
                         diff->n_pages_a - diff->n_pages_common);
        assert_int_equal(n_pages_in(diff->only_b),
                         diff->n_pages_b - diff->n_pages_common);
        assert_disjoint(diff->only_a);
        assert_superset(a, diff->only_a);
        if (isnan(tau)) {
            assert_true(isnan(diff->tau));
        } else {
            assert_close(diff->tau, tau);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_agrees_with_itself),
        cmocka_unit_test(empty_orders_agree_but_have_no_sequence),
        cmocka_unit_test(disjoint_orders_have_nothing_in_common),
        cmocka_unit_test(a_reversed_sequence_has_the_opposite_rank),
        cmocka_unit_test(pages_in_one_order_only_are_told_in_its_sequence),
        cmocka_unit_test(blocks_are_compared_by_name),
        cmocka_unit_test(different_page_sizes_cannot_be_compared),
        cmocka_unit_test(counts_agree_with_a_count_page_by_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
