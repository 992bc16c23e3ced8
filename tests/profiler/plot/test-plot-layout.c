/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/plot/plot-layout.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

static const PlotBox sheet = {70, 100, 600, 560};

static PlotMap layout_one(uint64_t len_bytes)
{
    PlotBlock block = {len_bytes, 4096, 0};

    return plot_map_layout(&block, 1, &sheet);
}

/* All of the map lies within the sheet. */
static void assert_fits(const PlotMap *map)
{
    for (size_t i = 0; i < map->n_bands; i++) {
        const PlotBand *band = &map->bands[i];
        double end = band->y + (double)band->n_rows * map->cell_height;

        assert_true(band->heading.y >= sheet.y);
        assert_true(end <= sheet.y + sheet.height + 0.001);
        if (i + 1 < map->n_bands) {
            assert_true(end <= map->bands[i + 1].heading.y);
        }
    }
    assert_true(map->cell_width * (double)map->n_columns <=
                sheet.width + 0.001);
}

static void test_map_of_a_guest_of_any_size_fits_its_box(void **state)
{
    for (uint64_t len = 4096; len <= UINT64_C(1) << 62; len *= 2) {
        PlotMap map = layout_one(len);

        assert_int_equal(map.n_bands, 1);
        assert_true(map.bands[0].n_cells * map.cell_bytes >= len);
        assert_fits(&map);
    }
}

static void test_map_of_a_small_guest_has_a_cell_for_each_page(void **state)
{
    PlotMap map = layout_one(16 * 4096);

    assert_int_equal(map.cell_bytes, 4096);
    assert_int_equal(map.bands[0].n_cells, 16);
    assert_int_equal(map.bands[0].n_rows, 1);
}

static void test_map_shows_the_most_touched_of_many_blocks(void **state)
{
    PlotBlock blocks[40];
    PlotMap map;

    for (size_t i = 0; i < G_N_ELEMENTS(blocks); i++) {
        blocks[i] = (PlotBlock){64 * MIB, 4096, 4096};
    }
    blocks[3].touched_bytes = MIB;
    blocks[39].touched_bytes = MIB;
    blocks[20].len_bytes = GIB;
    map = plot_map_layout(blocks, G_N_ELEMENTS(blocks), &sheet);
    assert_int_equal(map.n_bands, PLOT_MAX_BANDS);
    assert_int_equal(map.n_hidden_blocks, 40 - PLOT_MAX_BANDS);
    assert_int_equal(map.hidden_touched_bytes,
                     (40 - PLOT_MAX_BANDS) * UINT64_C(4096));
    assert_int_equal(map.bands[0].block, 0);
    assert_int_equal(map.bands[2].block, 2);
    assert_int_equal(map.bands[3].block, 3);
    assert_int_equal(map.bands[PLOT_MAX_BANDS - 2].block, 20);
    assert_int_equal(map.bands[PLOT_MAX_BANDS - 1].block, 39);
    assert_fits(&map);
}

static void test_map_leaves_out_blocks_that_nobody_touched(void **state)
{
    PlotBlock blocks[] = {{MIB, 4096, 0}, {GIB, 4096, 4096}, {MIB, 4096, 0}};
    PlotMap map = plot_map_layout(blocks, 3, &sheet);

    assert_int_equal(map.n_bands, 1);
    assert_int_equal(map.bands[0].block, 1);
    assert_int_equal(map.n_hidden_blocks, 2);
    blocks[1].touched_bytes = 0;
    map = plot_map_layout(blocks, 3, &sheet);
    assert_int_equal(map.n_bands, 3);
    assert_int_equal(map.n_hidden_blocks, 0);
}

static void test_map_of_the_largest_pages_has_a_cell_for_each(void **state)
{
    uint64_t bytes = UINT64_C(1) << 62;
    PlotBlock block = {bytes, bytes, bytes};
    PlotMap map = plot_map_layout(&block, 1, &sheet);

    assert_int_equal(map.n_bands, 1);
    assert_true(map.bands[0].n_cells > 0);
    assert_true(map.cell_bytes * map.n_columns / map.n_columns ==
                map.cell_bytes);
    assert_fits(&map);
}

static void test_map_without_a_block_has_no_band(void **state)
{
    PlotMap map = plot_map_layout(NULL, 0, &sheet);

    assert_int_equal(map.n_bands, 0);
}

static void test_row_labels_do_not_touch_each_other(void **state)
{
    PlotMap map = layout_one(GIB);

    assert_true((double)map.bands[0].label_rows * map.cell_height >= 16);
}

static void test_bytes_fall_into_the_cells_that_they_touch(void **state)
{
    PlotMap map = layout_one(GIB);
    uint64_t first, end;

    assert_int_equal(map.cell_bytes, 64 * KIB);
    plot_map_cells(&map, &map.bands[0], 64 * KIB - 1, 2, &first, &end);
    assert_int_equal(first, 0);
    assert_int_equal(end, 2);
    plot_map_cells(&map, &map.bands[0], 64 * KIB, 64 * KIB, &first, &end);
    assert_int_equal(first, 1);
    assert_int_equal(end, 2);
    plot_map_cells(&map, &map.bands[0], 2 * GIB, 4096, &first, &end);
    assert_int_equal(first, end);
}

static void test_byte_axis_has_round_ticks_and_room_above(void **state)
{
    PlotAxis axis = plot_axis_bytes(133 * MIB);

    assert_string_equal(axis.unit_name, "MiB");
    assert_true(axis.end > 133);
    assert_int_equal(axis.n_ticks, 8);
    assert_true(fabs(axis.ticks[1].value - 20) < 1e-9);
    assert_true(plot_axis_position(&axis, 133 * MIB) < 1);
    assert_true(plot_axis_position(&axis, 0) == 0);
}

static void test_axes_of_any_range_have_a_few_ticks_in_sequence(void **state)
{
    for (uint64_t max = 0; max < UINT64_C(1) << 62; max = max * 3 + 1) {
        PlotAxis axes[] = {
            plot_axis_bytes(max),
            plot_axis_time(max, max / 2),
            plot_axis_time(max, max / 1000),
        };

        for (size_t i = 0; i < G_N_ELEMENTS(axes); i++) {
            assert_in_range(axes[i].n_ticks, 2, PLOT_MAX_TICKS);
            assert_true(axes[i].begin < axes[i].end);
            for (size_t j = 1; j < axes[i].n_ticks; j++) {
                assert_true(axes[i].ticks[j].position >
                            axes[i].ticks[j - 1].position);
            }
        }
    }
}

static void test_time_axis_is_logarithmic_where_most_comes_early(void **state)
{
    PlotAxis axis = plot_axis_time(90000000, 2000000);

    assert_true(axis.is_log);
    assert_string_equal(axis.unit_name, "s");
    assert_true(fabs(axis.begin - 0.01) < 1e-12);
    assert_true(plot_axis_position(&axis, 0) == 0);
    assert_true(fabs(plot_axis_position(&axis, 90000000) - 1) < 1e-9);
    assert_false(plot_axis_time(90000000, 30000000).is_log);
}

static void test_counts_have_their_thousands_set_apart(void **state)
{
    g_autofree char *few = plot_format_count(999);
    g_autofree char *many = plot_format_count(1234567);

    assert_string_equal(few, "999");
    assert_string_equal(many, "1,234,567");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_of_a_guest_of_any_size_fits_its_box),
        cmocka_unit_test(test_map_of_a_small_guest_has_a_cell_for_each_page),
        cmocka_unit_test(test_map_shows_the_most_touched_of_many_blocks),
        cmocka_unit_test(test_map_leaves_out_blocks_that_nobody_touched),
        cmocka_unit_test(test_map_of_the_largest_pages_has_a_cell_for_each),
        cmocka_unit_test(test_map_without_a_block_has_no_band),
        cmocka_unit_test(test_row_labels_do_not_touch_each_other),
        cmocka_unit_test(test_bytes_fall_into_the_cells_that_they_touch),
        cmocka_unit_test(test_byte_axis_has_round_ticks_and_room_above),
        cmocka_unit_test(test_axes_of_any_range_have_a_few_ticks_in_sequence),
        cmocka_unit_test(test_time_axis_is_logarithmic_where_most_comes_early),
        cmocka_unit_test(test_counts_have_their_thousands_set_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
