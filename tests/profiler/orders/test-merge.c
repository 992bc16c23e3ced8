/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/merge.h"

#include "profiler/orders/error.h"
#include "profiler/orders/normalise.h"
#include "profiler/orders/sort.h"
#include "tests/profiler/orders/orders.h"

#define N_ORDERS 4

static PageOrder *merge_two(const PageOrder *a, const PageOrder *b,
                            size_t min_orders)
{
    const PageOrder *const orders[] = {a, b};

    return order_merge(orders, 2, min_orders, NULL);
}

static void an_order_merged_alone_is_itself_normalised(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(50);

    for (guint round = 0; round < 200; round++) {
        g_autoptr(PageOrder) order = random_order(rand, 60, TRUE);
        const PageOrder *const orders[] = {order};
        g_autoptr(PageOrder) normal = order_normalise(order);
        g_autoptr(PageOrder) merged = order_merge(orders, 1, 1, NULL);

        assert_true(page_order_equal(merged, normal));
    }
}

static void the_time_of_two_runs_is_their_middle(void **state)
{
    g_autoptr(PageOrder) a = ORDER_OF({RAM, 10, 2, 1000});
    g_autoptr(PageOrder) b = ORDER_OF({RAM, 11, 2, 5000});
    g_autoptr(PageOrder) merged = merge_two(a, b, 1);

    ASSERT_EXTENTS(merged, {RAM, 10, 1, 1000}, {RAM, 11, 1, 3000},
                   {RAM, 12, 1, 5000});
    assert_int_equal(merged->origin, PAGE_ORDER_ORIGIN_LEARNED);
    assert_int_equal(merged->n_runs, 2);
    assert_string_equal(merged->identity, a->identity);
}

static void the_time_of_three_runs_is_the_middle_one(void **state)
{
    g_autoptr(PageOrder) a = ORDER_OF({RAM, 10, 1, 900000});
    g_autoptr(PageOrder) b = ORDER_OF({RAM, 10, 1, 2000});
    g_autoptr(PageOrder) c = ORDER_OF({RAM, 10, 1, 1000});
    const PageOrder *const orders[] = {a, b, c};
    g_autoptr(PageOrder) merged = order_merge(orders, 3, 3, NULL);

    assert_int_equal(merged->extents->len, 1);
    assert_int_equal(page_order_extent(merged, 0)->time_us, 2000);
}

static void an_order_of_many_runs_weighs_more(void **state)
{
    g_autoptr(PageOrder) a = ORDER_OF({RAM, 10, 1, 1000});
    g_autoptr(PageOrder) b = ORDER_OF({RAM, 10, 1, 9000});

    a->n_runs = 2;
    g_autoptr(PageOrder) merged = merge_two(a, b, 1);

    assert_int_equal(page_order_extent(merged, 0)->time_us, 1000);
    assert_int_equal(merged->n_runs, 3);
}

static void pages_of_one_time_keep_the_first_orders_sequence(void **state)
{
    g_autoptr(PageOrder) a =
        ORDER_OF({VRAM, 4, 1, 0}, {RAM, 30, 1, 0}, {RAM, 20, 1, 0});
    g_autoptr(PageOrder) b =
        ORDER_OF({RAM, 20, 1, 0}, {RAM, 30, 1, 0}, {VRAM, 4, 1, 0});
    g_autoptr(PageOrder) merged = merge_two(a, b, 1);

    assert_extents(merged, a);
}

static void what_one_order_knows_of_a_page_is_kept(void **state)
{
    g_autoptr(PageOrder) a = ORDER_OF({RAM, 10, 1, 0, .idle_loads = 5});
    g_autoptr(PageOrder) b =
        ORDER_OF({RAM, 10, 1, 0, .idle_loads = 2, .access = PAGE_ACCESS_WRITE});
    g_autoptr(PageOrder) merged = merge_two(a, b, 1);
    g_autoptr(PageOrder) merged_back = merge_two(b, a, 1);

    assert_int_equal(page_order_extent(merged, 0)->idle_loads, 2);
    assert_int_equal(page_order_extent(merged, 0)->access, PAGE_ACCESS_WRITE);
    assert_true(page_order_equal(merged, merged_back));
}

static void empty_orders_merge_into_an_empty_one(void **state)
{
    g_autoptr(PageOrder) a = empty_order();
    g_autoptr(PageOrder) b = page_order_new();
    g_autoptr(PageOrder) merged = merge_two(b, a, 1);

    assert_int_equal(merged->extents->len, 0);
    assert_int_equal(merged->blocks->len, N_BLOCKS);
    assert_string_equal(merged->identity, a->identity);
}

static void blocks_are_matched_by_name(void **state)
{
    g_autoptr(PageOrder) a = ORDER_OF({RAM, 0, 1, 0});
    g_autoptr(PageOrder) b = page_order_new();

    page_order_add_block(b, "vga.vram", VRAM_PAGES * 4096, 4096);
    add(b, 0, 5, 1, 2000);
    g_autoptr(PageOrder) merged = merge_two(a, b, 1);

    ASSERT_EXTENTS(merged, {RAM, 0, 1, 0}, {VRAM, 5, 1, 2000});
}

static void different_page_sizes_cannot_be_merged(void **state)
{
    g_autoptr(PageOrder) a = empty_order();
    g_autoptr(PageOrder) b = page_order_new();
    const PageOrder *const orders[] = {a, b};
    g_autoptr(GError) error = NULL;

    page_order_add_block(b, "pc.bios", 1 << 20, 4096);
    assert_null(order_merge(orders, 2, 1, &error));
    assert_true(
        g_error_matches(error, PROFILER_ERROR, PROFILER_ERROR_MISMATCH));
}

static void a_page_is_there_if_enough_orders_have_it(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(51);

    for (guint round = 0; round < 200; round++) {
        PageOrder *orders[N_ORDERS];
        size_t min_orders = 1 + round % N_ORDERS;
        g_autoptr(PageOrder) merged = NULL;

        for (guint i = 0; i < N_ORDERS; i++) {
            orders[i] = random_order(rand, 60, TRUE);
        }
        merged = order_merge((const PageOrder *const *)orders, N_ORDERS,
                             min_orders, NULL);

        assert_disjoint(merged);
        for (uint32_t block = 0; block < N_BLOCKS; block++) {
            for (guint page = 0; page < n_pages_of(block); page++) {
                size_t n_having = 0;

                for (guint i = 0; i < N_ORDERS; i++) {
                    n_having += has_page(orders[i], block, page);
                }
                assert_int_equal(has_page(merged, block, page),
                                 n_having >= min_orders);
            }
        }
        for (guint i = 0; i < N_ORDERS; i++) {
            page_order_free(orders[i]);
        }
    }
}

static void merged_orders_are_in_sequence_of_time(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(52);

    for (guint round = 0; round < 100; round++) {
        g_autoptr(PageOrder) a = random_order(rand, 60, FALSE);
        g_autoptr(PageOrder) b = random_order(rand, 60, FALSE);
        g_autoptr(PageOrder) merged = merge_two(a, b, 1);
        g_autoptr(PageOrder) sorted = order_sort(merged, ORDER_SORT_TIME, 0, 0);

        assert_true(page_order_equal(merged, sorted));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_merged_alone_is_itself_normalised),
        cmocka_unit_test(the_time_of_two_runs_is_their_middle),
        cmocka_unit_test(the_time_of_three_runs_is_the_middle_one),
        cmocka_unit_test(an_order_of_many_runs_weighs_more),
        cmocka_unit_test(pages_of_one_time_keep_the_first_orders_sequence),
        cmocka_unit_test(what_one_order_knows_of_a_page_is_kept),
        cmocka_unit_test(empty_orders_merge_into_an_empty_one),
        cmocka_unit_test(blocks_are_matched_by_name),
        cmocka_unit_test(different_page_sizes_cannot_be_merged),
        cmocka_unit_test(a_page_is_there_if_enough_orders_have_it),
        cmocka_unit_test(merged_orders_are_in_sequence_of_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
