/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/trim.h"

#include "profiler/orders/normalise.h"
#include "tests/profiler/orders/orders.h"

static uint64_t n_bytes_in(const PageOrder *order)
{
    uint64_t n_bytes = 0;

    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        n_bytes += extent->span.n_pages *
                   page_order_block(order, extent->span.block)->page_bytes;
    }
    return n_bytes;
}

static PageOrder *four_extents(void)
{
    return ORDER_OF({RAM, 0, 4, 1000}, {RAM, 100, 4, 3000}, {RAM, 50, 4, 2000},
                    {VRAM, 0, 4, 900000});
}

static void limits_of_nothing_leave_all(void **state)
{
    g_autoptr(PageOrder) order = four_extents();
    g_autoptr(PageOrder) trimmed = order_trim(order, &ORDER_TRIM_NOTHING);

    assert_true(page_order_equal(trimmed, order));
}

static void an_extent_across_the_limit_of_bytes_is_cut(void **state)
{
    g_autoptr(PageOrder) order = four_extents();
    OrderTrim trim = ORDER_TRIM_NOTHING;

    trim.max_bytes = 7 * 4096 - 1;
    g_autoptr(PageOrder) trimmed = order_trim(order, &trim);

    ASSERT_EXTENTS(trimmed, {RAM, 0, 4, 1000}, {RAM, 100, 2, 3000});
}

static void an_extent_across_the_limit_of_pages_is_cut(void **state)
{
    g_autoptr(PageOrder) order = four_extents();
    OrderTrim trim = ORDER_TRIM_NOTHING;

    trim.max_pages = 5;
    g_autoptr(PageOrder) trimmed = order_trim(order, &trim);

    ASSERT_EXTENTS(trimmed, {RAM, 0, 4, 1000}, {RAM, 100, 1, 3000});
}

static void a_limit_of_0_leaves_nothing(void **state)
{
    g_autoptr(PageOrder) order = four_extents();
    OrderTrim trim = ORDER_TRIM_NOTHING;

    trim.max_bytes = 0;
    g_autoptr(PageOrder) trimmed = order_trim(order, &trim);

    assert_int_equal(trimmed->extents->len, 0);
    assert_int_equal(trimmed->blocks->len, N_BLOCKS);
}

static void pages_touched_later_are_left_out_wherever_they_are(void **state)
{
    g_autoptr(PageOrder) order = four_extents();
    OrderTrim trim = ORDER_TRIM_NOTHING;

    trim.max_time_us = 2000;
    g_autoptr(PageOrder) trimmed = order_trim(order, &trim);

    ASSERT_EXTENTS(trimmed, {RAM, 0, 4, 1000}, {RAM, 50, 4, 2000});
}

static void the_first_phases_are_left(void **state)
{
    g_autoptr(PageOrder) order = four_extents();
    OrderTrim trim = ORDER_TRIM_NOTHING;

    trim.max_phases = 1;
    g_autoptr(PageOrder) trimmed = order_trim(order, &trim);

    assert_int_equal(trimmed->extents->len, 3);
}

static void a_page_counts_once_against_the_limit(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 0, 2, 0}, {RAM, 0, 2, 5000}, {RAM, 9, 2, 9000});
    OrderTrim trim = ORDER_TRIM_NOTHING;

    trim.max_pages = 4;
    g_autoptr(PageOrder) trimmed = order_trim(order, &trim);

    assert_int_equal(n_pages_in(trimmed), 4);
}

static void limits_are_never_exceeded_and_nearly_reached(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(20);

    for (guint round = 0; round < 300; round++) {
        g_autoptr(PageOrder) order = random_order(rand, 60, FALSE);
        g_autoptr(PageOrder) normal = order_normalise(order);
        g_autoptr(PageOrder) trimmed = NULL;
        OrderTrim trim = ORDER_TRIM_NOTHING;

        trim.max_bytes = g_rand_int_range(rand, 0, 300 * 4096);
        trimmed = order_trim(order, &trim);

        assert_disjoint(trimmed);
        assert_superset(order, trimmed);
        assert_true(n_bytes_in(trimmed) <= trim.max_bytes);
        assert_true(n_bytes_in(trimmed) + 4096 > trim.max_bytes ||
                    n_bytes_in(trimmed) == n_bytes_in(normal));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_of_nothing_leave_all),
        cmocka_unit_test(an_extent_across_the_limit_of_bytes_is_cut),
        cmocka_unit_test(an_extent_across_the_limit_of_pages_is_cut),
        cmocka_unit_test(a_limit_of_0_leaves_nothing),
        cmocka_unit_test(pages_touched_later_are_left_out_wherever_they_are),
        cmocka_unit_test(the_first_phases_are_left),
        cmocka_unit_test(a_page_counts_once_against_the_limit),
        cmocka_unit_test(limits_are_never_exceeded_and_nearly_reached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
