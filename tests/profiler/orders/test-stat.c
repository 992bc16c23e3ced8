/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/stat.h"

#include "profiler/orders/phases.h"
#include "tests/profiler/orders/orders.h"

static const OrderStatOptions OPTIONS = {
    .phase_bytes = ORDER_PHASE_BYTES,
    .phase_quiet_us = ORDER_PHASE_QUIET_US,
    .n_timeline = 4,
};

static uint64_t timeline_at(const OrderStat *stat, guint i)
{
    return g_array_index(stat->timeline, uint64_t, i);
}

static const OrderBlockStat *block_at(const OrderStat *stat, guint i)
{
    return &g_array_index(stat->blocks, OrderBlockStat, i);
}

static void an_empty_order_is_all_0(void **state)
{
    g_autoptr(PageOrder) order = empty_order();
    g_autoptr(OrderStat) stat = order_stat(order, NULL, &OPTIONS);

    assert_int_equal(stat->n_extents, 0);
    assert_int_equal(stat->n_pages, 0);
    assert_int_equal(stat->n_phases, 0);
    assert_int_equal(stat->stretch_pages_max, 0);
    assert_int_equal(stat->blocks->len, N_BLOCKS);
    assert_int_equal(timeline_at(stat, 3), 0);
}

static void pages_and_bytes_are_counted_once(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 0, 8, 1000}, {RAM, 4, 8, 9000}, {BIOS, 0, 2, 500000});
    g_autoptr(OrderStat) stat = order_stat(order, NULL, &OPTIONS);

    assert_int_equal(stat->n_extents, 3);
    assert_int_equal(stat->n_pages, 14);
    assert_int_equal(stat->n_bytes, 12 * 4096 + 2 * 512);
    assert_int_equal(stat->n_pages_repeated, 4);
    assert_int_equal(stat->n_phases, 2);
    assert_int_equal(stat->last_us, 500000);
    assert_int_equal(block_at(stat, RAM)->n_pages, 12);
    assert_int_equal(block_at(stat, RAM)->first_us, 1000);
    assert_int_equal(block_at(stat, RAM)->last_us, 9000);
    assert_int_equal(block_at(stat, VRAM)->n_pages, 0);
    assert_int_equal(block_at(stat, BIOS)->n_bytes, 1024);
}

static void runs_are_sorted_into_powers_of_two(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 0, 1, 0}, {RAM, 10, 2, 0}, {RAM, 20, 3, 0},
                 {RAM, 30, 4, 0}, {RAM, 40, 5, 0});
    g_autoptr(OrderStat) stat = order_stat(order, NULL, &OPTIONS);

    assert_int_equal(stat->n_stretches, 5);
    assert_int_equal(stat->stretch_pages_min, 1);
    assert_int_equal(stat->stretch_pages_median, 3);
    assert_int_equal(stat->stretch_pages_max, 5);
    assert_int_equal(stat->stretch_pages_dist[0], 1);
    assert_int_equal(stat->stretch_pages_dist[1], 1);
    assert_int_equal(stat->stretch_pages_dist[2], 2);
    assert_int_equal(stat->stretch_pages_dist[3], 1);
}

static void the_timeline_ends_with_the_last_first_touch(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 0, 1, 0}, {RAM, 10, 2, 1000}, {RAM, 20, 3, 2500},
                 {RAM, 30, 4, 3999});
    g_autoptr(OrderStat) stat = order_stat(order, NULL, &OPTIONS);

    assert_int_equal(timeline_at(stat, 0), 1);
    assert_int_equal(timeline_at(stat, 1), 2);
    assert_int_equal(timeline_at(stat, 2), 3);
    assert_int_equal(timeline_at(stat, 3), 4);
}

static void pages_are_counted_by_access(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 0, 1, 0}, {RAM, 10, 2, 0, .access = PAGE_ACCESS_READ},
                 {RAM, 20, 3, 0, .access = PAGE_ACCESS_WRITE});
    g_autoptr(OrderStat) stat = order_stat(order, NULL, &OPTIONS);

    assert_int_equal(stat->n_pages_by_access[PAGE_ACCESS_UNKNOWN], 1);
    assert_int_equal(stat->n_pages_by_access[PAGE_ACCESS_READ], 2);
    assert_int_equal(stat->n_pages_by_access[PAGE_ACCESS_WRITE], 3);
}

static void the_share_of_a_snapshot_is_counted_in_its_file(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 4, 8, 0}, {RAM, 192, 64, 0}, {VRAM, 0, 2, 0});
    uint64_t ram_bits[RAM_PAGES / 64] = {0xff, 0, 0, 1};
    uint64_t other_bits[1] = {0xffff};
    RamImageBlock blocks[] = {
        {.name = (char *)"other",
         .page_bytes = 4096,
         .n_pages = 16,
         .n_pages_in_file = 16,
         .bitmap = other_bits},
        {.name = (char *)"pc.ram",
         .page_bytes = 4096,
         .n_pages = RAM_PAGES,
         .n_pages_in_file = 9,
         .bitmap = ram_bits},
    };
    RamImage snapshot = {.blocks = blocks, .n_blocks = 2};
    g_autoptr(OrderStat) stat = order_stat(order, &snapshot, &OPTIONS);

    assert_int_equal(stat->n_pages_in_file, 25);
    assert_int_equal(stat->n_pages_common, 5);
    assert_int_equal(stat->n_pages_not_in_file, 74 - 5);
    assert_int_equal(block_at(stat, RAM)->n_pages_in_file, 5);
}

static void pages_beyond_the_snapshots_block_are_not_in_its_file(void **state)
{
    g_autoptr(PageOrder) order = ORDER_OF({RAM, 60, 10, 0}, {RAM, 80, 10, 0});
    uint64_t bits[] = {UINT64_MAX, UINT64_MAX};
    RamImageBlock block = {
        .name = (char *)"pc.ram",
        .page_bytes = 4096,
        .n_pages = 64,
        .n_pages_in_file = 64,
        .bitmap = bits,
    };
    RamImage snapshot = {.blocks = &block, .n_blocks = 1};
    g_autoptr(OrderStat) stat = order_stat(order, &snapshot, &OPTIONS);

    assert_int_equal(stat->n_pages_common, 4);
    assert_int_equal(stat->n_pages_not_in_file, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_order_is_all_0),
        cmocka_unit_test(pages_and_bytes_are_counted_once),
        cmocka_unit_test(runs_are_sorted_into_powers_of_two),
        cmocka_unit_test(the_timeline_ends_with_the_last_first_touch),
        cmocka_unit_test(pages_are_counted_by_access),
        cmocka_unit_test(the_share_of_a_snapshot_is_counted_in_its_file),
        cmocka_unit_test(pages_beyond_the_snapshots_block_are_not_in_its_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
