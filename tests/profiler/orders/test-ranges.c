/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/ranges.h"

#include "profiler/orders/error.h"
#include "profiler/orders/machine-map.h"
#include "profiler/orders/normalise.h"
#include "tests/profiler/orders/orders.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static GArray *no_ranges(void)
{
    return g_array_new(FALSE, FALSE, sizeof(PageSpan));
}

static void add_range(GArray *ranges, uint32_t block, uint64_t first_page,
                      uint64_t n_pages)
{
    PageSpan range = {block, first_page, n_pages};

    g_array_append_val(ranges, range);
}

static const PageSpan *range_at(const GArray *ranges, guint i)
{
    return &g_array_index(ranges, PageSpan, i);
}

static void bytes_are_rounded_out_to_pages(void **state)
{
    g_autoptr(PageOrder) order = empty_order();
    PageSpan range;

    assert_true(order_span_of_bytes(order, RAM, 4095, 2, &range, NULL));
    assert_int_equal(range.block, RAM);
    assert_int_equal(range.first_page, 0);
    assert_int_equal(range.n_pages, 2);
    assert_true(order_span_of_bytes(order, BIOS, 512, 512, &range, NULL));
    assert_int_equal(range.first_page, 1);
    assert_int_equal(range.n_pages, 1);
}

static void bytes_beyond_the_block_are_an_error(void **state)
{
    g_autoptr(PageOrder) order = empty_order();
    const struct {
        uint64_t off_bytes;
        uint64_t len_bytes;
    } beyond[] = {
        {RAM_PAGES * 4096, 1},
        {RAM_PAGES * 4096 - 1, 2},
        {UINT64_MAX, 1},
        {1, UINT64_MAX},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(beyond); i++) {
        g_autoptr(GError) error = NULL;
        PageSpan range;

        assert_false(order_span_of_bytes(order, RAM, beyond[i].off_bytes,
                                         beyond[i].len_bytes, &range, &error));
        assert_true(
            g_error_matches(error, PROFILER_ERROR, PROFILER_ERROR_RANGE));
    }
}

static void dropping_cuts_a_hole(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 10, 20, 5000}, {VRAM, 10, 4, 7000});
    g_autoptr(GArray) ranges = no_ranges();

    add_range(ranges, RAM, 15, 5);
    add_range(ranges, RAM, 0, 12);
    add_range(ranges, RAM, 18, 4);
    g_autoptr(PageOrder) rest = order_drop(order, ranges);

    ASSERT_EXTENTS(rest, {RAM, 12, 3, 5000}, {RAM, 22, 8, 5000},
                   {VRAM, 10, 4, 7000});
}

static void dropping_a_block_leaves_the_others(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 10, 20, 5000}, {VRAM, 10, 4, 7000});
    g_autoptr(GArray) ranges = no_ranges();
    PageSpan all = {.n_pages = RAM_PAGES, .block = RAM};

    g_array_append_val(ranges, all);
    g_autoptr(PageOrder) rest = order_drop(order, ranges);

    ASSERT_EXTENTS(rest, {VRAM, 10, 4, 7000});
}

static void pinned_pages_come_first_at_time_0(void **state)
{
    g_autoptr(PageOrder) order = ORDER_OF({RAM, 10, 20, 5000});
    g_autoptr(GArray) ranges = no_ranges();

    add_range(ranges, VRAM, 0, 2);
    add_range(ranges, RAM, 25, 10);
    g_autoptr(PageOrder) pinned = order_pin(order, ranges);

    ASSERT_EXTENTS(pinned, {VRAM, 0, 2, 0}, {RAM, 25, 10, 0},
                   {RAM, 10, 15, 5000});
}

static void nothing_dropped_or_pinned_changes_nothing(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(30);
    g_autoptr(GArray) ranges = no_ranges();

    for (guint round = 0; round < 100; round++) {
        g_autoptr(PageOrder) order = random_order(rand, 40, FALSE);
        g_autoptr(PageOrder) normal = order_normalise(order);
        g_autoptr(PageOrder) rest = order_drop(order, ranges);
        g_autoptr(PageOrder) pinned = order_pin(order, ranges);

        assert_true(page_order_equal(rest, normal));
        assert_true(page_order_equal(pinned, normal));
    }
}

static void dropped_pages_are_gone_and_pinned_ones_are_there(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(31);

    for (guint round = 0; round < 200; round++) {
        g_autoptr(PageOrder) order = random_order(rand, 40, FALSE);
        g_autoptr(PageOrder) picked = random_order(rand, 10, FALSE);
        g_autoptr(GArray) ranges = no_ranges();
        g_autoptr(PageOrder) rest = NULL;
        g_autoptr(PageOrder) pinned = NULL;

        for (guint i = 0; i < picked->extents->len; i++) {
            const PageExtent *extent = page_order_extent(picked, i);

            add_range(ranges, extent->span.block, extent->span.first_page,
                      extent->span.n_pages);
        }
        rest = order_drop(order, ranges);
        pinned = order_pin(order, ranges);

        assert_disjoint(rest);
        assert_disjoint(pinned);
        for (uint32_t block = 0; block < N_BLOCKS; block++) {
            for (guint page = 0; page < n_pages_of(block); page++) {
                gboolean in_order = has_page(order, block, page);
                gboolean in_ranges = has_page(picked, block, page);

                assert_int_equal(has_page(rest, block, page),
                                 in_order && !in_ranges);
                assert_int_equal(has_page(pinned, block, page),
                                 in_order || in_ranges);
            }
        }
    }
}

static void a_machine_is_known_by_its_name(void **state)
{
    MachineType type;

    assert_true(machine_type_from_name("pc", &type));
    assert_int_equal(type, MACHINE_PC);
    assert_true(machine_type_from_name("pc-i440fx-10.0", &type));
    assert_int_equal(type, MACHINE_PC);
    assert_true(machine_type_from_name("pc-q35-9.2", &type));
    assert_int_equal(type, MACHINE_Q35);
    assert_false(machine_type_from_name("microvm", &type));
}

/* As "info mtree" of QEMU 10.0 shows it. */
static void ram_is_split_as_qemu_splits_it(void **state)
{
    const struct {
        MachineType type;
        uint64_t len_bytes;
        uint64_t low_bytes;
    } machines[] = {
        {MACHINE_PC, 3583 * MIB, 3583 * MIB},
        {MACHINE_PC, 3584 * MIB, 3 * GIB},
        {MACHINE_PC, 8 * GIB, 3 * GIB},
        {MACHINE_Q35, 2815 * MIB, 2815 * MIB},
        {MACHINE_Q35, 2816 * MIB, 2 * GIB},
        {MACHINE_Q35, 4 * GIB, 2 * GIB},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(machines); i++) {
        g_autoptr(PageOrder) order = page_order_new();
        g_autoptr(GArray) map =
            g_array_new(FALSE, FALSE, sizeof(MachineMapping));
        g_autoptr(GArray) ranges = no_ranges();
        uint64_t low_bytes = machines[i].low_bytes;
        uint64_t high_bytes = machines[i].len_bytes - low_bytes;

        page_order_add_block(order, "pc.ram", machines[i].len_bytes, 4096);
        machine_map_add(map, order, machines[i].type, 0);
        assert_true(machine_map_find(map, order, 0, UINT64_MAX, ranges, NULL));

        assert_int_equal(range_at(ranges, 0)->first_page, 0);
        assert_int_equal(range_at(ranges, 0)->n_pages, low_bytes / 4096);
        assert_int_equal(ranges->len, high_bytes > 0 ? 2 : 1);
        if (high_bytes > 0) {
            assert_int_equal(range_at(ranges, 1)->first_page, low_bytes / 4096);
            assert_int_equal(range_at(ranges, 1)->n_pages, high_bytes / 4096);
        }
    }
}

static void addresses_above_4_gib_are_behind_the_lower_part(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();
    g_autoptr(GArray) map = g_array_new(FALSE, FALSE, sizeof(MachineMapping));
    g_autoptr(GArray) ranges = no_ranges();

    page_order_add_block(order, "pc.ram", 8 * GIB, 4096);
    machine_map_add(map, order, MACHINE_PC, 0);
    assert_true(
        machine_map_find(map, order, 4 * GIB + 4096, 8192, ranges, NULL));

    assert_int_equal(ranges->len, 1);
    assert_int_equal(range_at(ranges, 0)->first_page, 3 * GIB / 4096 + 1);
    assert_int_equal(range_at(ranges, 0)->n_pages, 2);
}

static void addresses_in_the_hole_below_4_gib_are_no_ram(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();
    g_autoptr(GArray) map = g_array_new(FALSE, FALSE, sizeof(MachineMapping));
    g_autoptr(GArray) ranges = no_ranges();
    g_autoptr(GError) error = NULL;

    page_order_add_block(order, "pc.ram", 8 * GIB, 4096);
    machine_map_add(map, order, MACHINE_PC, 0);
    assert_false(machine_map_find(map, order, 3 * GIB, GIB, ranges, &error));

    assert_true(g_error_matches(error, PROFILER_ERROR, PROFILER_ERROR_RANGE));
    assert_int_equal(ranges->len, 0);
}

static void a_range_across_mappings_has_a_part_of_each(void **state)
{
    g_autoptr(PageOrder) order = empty_order();
    g_autoptr(GArray) map = g_array_new(FALSE, FALSE, sizeof(MachineMapping));
    g_autoptr(GArray) ranges = no_ranges();
    MachineMapping mappings[] = {
        {0x10000, 0x8000, 0x4000, RAM},
        {0x20000, 0x0000, 0x2000, VRAM},
    };

    g_array_append_vals(map, mappings, 2);
    assert_true(machine_map_find(map, order, 0x13000, 0xe000, ranges, NULL));

    assert_int_equal(ranges->len, 2);
    assert_int_equal(range_at(ranges, 0)->block, RAM);
    assert_int_equal(range_at(ranges, 0)->first_page, 11);
    assert_int_equal(range_at(ranges, 0)->n_pages, 1);
    assert_int_equal(range_at(ranges, 1)->block, VRAM);
    assert_int_equal(range_at(ranges, 1)->first_page, 0);
    assert_int_equal(range_at(ranges, 1)->n_pages, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_rounded_out_to_pages),
        cmocka_unit_test(bytes_beyond_the_block_are_an_error),
        cmocka_unit_test(dropping_cuts_a_hole),
        cmocka_unit_test(dropping_a_block_leaves_the_others),
        cmocka_unit_test(pinned_pages_come_first_at_time_0),
        cmocka_unit_test(nothing_dropped_or_pinned_changes_nothing),
        cmocka_unit_test(dropped_pages_are_gone_and_pinned_ones_are_there),
        cmocka_unit_test(a_machine_is_known_by_its_name),
        cmocka_unit_test(ram_is_split_as_qemu_splits_it),
        cmocka_unit_test(addresses_above_4_gib_are_behind_the_lower_part),
        cmocka_unit_test(addresses_in_the_hole_below_4_gib_are_no_ram),
        cmocka_unit_test(a_range_across_mappings_has_a_part_of_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
