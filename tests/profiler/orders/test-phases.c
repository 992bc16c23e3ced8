/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/phases.h"

#include "tests/profiler/orders/orders.h"

#define NO_LIMIT UINT64_MAX

static const OrderPhase *phase_at(const GArray *phases, guint i)
{
    return &g_array_index(phases, OrderPhase, i);
}

static void assert_phase(const GArray *phases, guint i, size_t first_extent,
                         size_t n_extents, uint64_t n_pages, uint64_t time_us)
{
    const OrderPhase *phase = phase_at(phases, i);

    assert_int_equal(phase->first_extent, first_extent);
    assert_int_equal(phase->n_extents, n_extents);
    assert_int_equal(phase->n_pages, n_pages);
    assert_int_equal(phase->time_us, time_us);
}

static void an_empty_order_has_no_phase(void **state)
{
    g_autoptr(PageOrder) order = empty_order();
    g_autoptr(GArray) phases = order_phases(order, 1, 1);

    assert_int_equal(phases->len, 0);
}

static void a_phase_ends_at_a_quiet_gap(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 0, 1, 10}, {RAM, 9, 2, 110}, {RAM, 5, 1, 211});
    g_autoptr(GArray) phases = order_phases(order, NO_LIMIT, 100);

    assert_int_equal(phases->len, 2);
    assert_phase(phases, 0, 0, 2, 3, 10);
    assert_phase(phases, 1, 2, 1, 1, 211);
}

static void a_phase_is_full_at_the_limit(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 0, 3, 0}, {RAM, 10, 1, 0}, {BIOS, 0, 1, 0});
    g_autoptr(GArray) phases = order_phases(order, 4 * 4096, NO_LIMIT);

    assert_int_equal(phases->len, 2);
    assert_phase(phases, 0, 0, 2, 4, 0);
    assert_phase(phases, 1, 2, 1, 1, 0);
    assert_int_equal(phase_at(phases, 0)->n_bytes, 4 * 4096);
    assert_int_equal(phase_at(phases, 1)->n_bytes, 512);
}

static void an_extent_larger_than_the_limit_is_a_phase_by_itself(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 0, 1, 0}, {RAM, 10, 100, 0}, {RAM, 1, 1, 0});
    g_autoptr(GArray) phases = order_phases(order, 2 * 4096, NO_LIMIT);

    assert_int_equal(phases->len, 3);
    assert_phase(phases, 1, 1, 1, 100, 0);
}

static void a_time_before_the_latest_is_no_gap(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 0, 1, 1000}, {RAM, 2, 1, 0}, {RAM, 4, 1, 1050});
    g_autoptr(GArray) phases = order_phases(order, NO_LIMIT, 100);

    assert_int_equal(phases->len, 1);
}

static void every_extent_is_in_one_phase(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (guint round = 0; round < 200; round++) {
        g_autoptr(PageOrder) order = random_order(rand, 60, round & 1);
        uint64_t max_bytes = g_rand_int_range(rand, 0, 40 * 4096);
        g_autoptr(GArray) phases = order_phases(order, max_bytes, 2000);
        size_t next_extent = 0;

        for (guint i = 0; i < phases->len; i++) {
            const OrderPhase *phase = phase_at(phases, i);

            assert_int_equal(phase->first_extent, next_extent);
            assert_true(phase->n_extents > 0);
            assert_true(phase->n_bytes <= max_bytes || phase->n_extents == 1);
            next_extent += phase->n_extents;
        }
        assert_int_equal(next_extent, order->extents->len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_order_has_no_phase),
        cmocka_unit_test(a_phase_ends_at_a_quiet_gap),
        cmocka_unit_test(a_phase_is_full_at_the_limit),
        cmocka_unit_test(an_extent_larger_than_the_limit_is_a_phase_by_itself),
        cmocka_unit_test(a_time_before_the_latest_is_no_gap),
        cmocka_unit_test(every_extent_is_in_one_phase),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
