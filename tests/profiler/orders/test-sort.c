/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/sort.h"

#include "profiler/orders/normalise.h"
#include "profiler/orders/phases.h"
#include "tests/profiler/orders/orders.h"

static PageOrder *sort_by(const PageOrder *order, OrderSortKey key)
{
    return order_sort(order, key, ORDER_PHASE_BYTES, ORDER_PHASE_QUIET_US);
}

static void pages_of_one_time_keep_their_sequence(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 30, 1, 9000}, {RAM, 20, 1, 5000}, {VRAM, 2, 1, 5000},
                 {RAM, 10, 1, 5000});
    g_autoptr(PageOrder) sorted = sort_by(order, ORDER_SORT_TIME);

    ASSERT_EXTENTS(sorted, {RAM, 20, 1, 5000}, {VRAM, 2, 1, 5000},
                   {RAM, 10, 1, 5000}, {RAM, 30, 1, 9000});
}

static void by_address_is_by_block_and_page(void **state)
{
    g_autoptr(PageOrder) order = ORDER_OF({BIOS, 0, 1, 0}, {RAM, 30, 1, 1},
                                          {VRAM, 2, 1, 2}, {RAM, 10, 1, 3});
    g_autoptr(PageOrder) sorted = sort_by(order, ORDER_SORT_ADDRESS);

    ASSERT_EXTENTS(sorted, {RAM, 10, 1, 3}, {RAM, 30, 1, 1}, {VRAM, 2, 1, 2},
                   {BIOS, 0, 1, 0});
}

static void by_phase_is_by_address_inside_each_phase(void **state)
{
    g_autoptr(PageOrder) order = ORDER_OF({RAM, 50, 1, 0}, {RAM, 40, 1, 10},
                                          {RAM, 30, 1, 500}, {RAM, 20, 1, 510});
    g_autoptr(PageOrder) sorted =
        order_sort(order, ORDER_SORT_PHASE, UINT64_MAX, 100);

    ASSERT_EXTENTS(sorted, {RAM, 40, 1, 10}, {RAM, 50, 1, 0}, {RAM, 20, 1, 510},
                   {RAM, 30, 1, 500});
}

static void the_first_extent_of_a_page_counts_before_sorting(void **state)
{
    g_autoptr(PageOrder) order = ORDER_OF({RAM, 0, 1, 9000}, {RAM, 0, 1, 1000});
    g_autoptr(PageOrder) sorted = sort_by(order, ORDER_SORT_TIME);

    assert_int_equal(sorted->extents->len, 1);
    assert_int_equal(page_order_extent(sorted, 0)->time_us, 9000);
}

static void assert_same(const PageExtent *a, const PageExtent *b)
{
    assert_int_equal(a->span.block, b->span.block);
    assert_int_equal(a->span.first_page, b->span.first_page);
    assert_int_equal(a->span.n_pages, b->span.n_pages);
    assert_int_equal(a->time_us, b->time_us);
    assert_int_equal(a->idle_loads, b->idle_loads);
    assert_int_equal(a->access, b->access);
}

static void sorting_is_a_permutation(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(10);
    const OrderSortKey keys[] = {ORDER_SORT_TIME, ORDER_SORT_ADDRESS,
                                 ORDER_SORT_PHASE};

    for (guint round = 0; round < 300; round++) {
        g_autoptr(PageOrder) order = random_order(rand, 60, FALSE);
        g_autoptr(PageOrder) normal = order_normalise(order);
        g_autoptr(PageOrder) sorted = order_sort(
            order, keys[round % G_N_ELEMENTS(keys)], 20 * 4096, 10000);

        assert_disjoint(sorted);
        assert_int_equal(sorted->extents->len, normal->extents->len);
        for (uint32_t block = 0; block < N_BLOCKS; block++) {
            g_autofree gint64 *before = owners_of(normal, block);
            g_autofree gint64 *after = owners_of(sorted, block);

            for (guint page = 0; page < n_pages_of(block); page++) {
                assert_int_equal(before[page] < 0, after[page] < 0);
                if (before[page] >= 0) {
                    assert_same(page_order_extent(normal, before[page]),
                                page_order_extent(sorted, after[page]));
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_one_time_keep_their_sequence),
        cmocka_unit_test(by_address_is_by_block_and_page),
        cmocka_unit_test(by_phase_is_by_address_inside_each_phase),
        cmocka_unit_test(the_first_extent_of_a_page_counts_before_sorting),
        cmocka_unit_test(sorting_is_a_permutation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
