/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <cairo.h>
#include <glib/gstdio.h>

#include "formats/error.h"
#include "profiler/error.h"
#include "profiler/plot-data.h"
#include "profiler/plot-layout.h"
#include "profiler/plot-panels.h"
#include "profiler/plot-stats.h"
#include "profiler/plot.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

/* Fontconfig keeps some memory to the end; LeakSanitizer asks here what to
 * leave out. */
__attribute__((visibility("default"))) const char *
__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}

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

static void test_sizes_and_counts_are_written_for_people(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *size, *offset;
    } sizes[] = {
        {0, "0 bytes", "0"},
        {512, "512 bytes", "512 bytes"},
        {64 * KIB, "64 KiB", "64 KiB"},
        {1280 * MIB, "1.2 GiB", "1280 MiB"},
        {2 * GIB, "2 GiB", "2 GiB"},
    };
    g_autofree char *few = plot_format_count(999);
    g_autofree char *many = plot_format_count(1234567);

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *size = plot_format_size(sizes[i].bytes);
        g_autofree char *offset = plot_format_offset(sizes[i].bytes);

        assert_string_equal(size, sizes[i].size);
        assert_string_equal(offset, sizes[i].offset);
    }
    assert_string_equal(few, "999");
    assert_string_equal(many, "1,234,567");
}

static PageOrder *new_order(void)
{
    PageOrder *order = page_order_new();

    page_order_add_block(order, "pc.ram", GIB, 4096);
    return order;
}

static void add(PageOrder *order, uint64_t page, uint64_t n_pages,
                uint64_t time_us)
{
    PageExtent extent = {
        .first_page = page, .n_pages = n_pages, .time_us = time_us};

    g_array_append_val(order->extents, extent);
}

static void test_page_in_two_extents_counts_once_at_its_first(void **state)
{
    g_autoptr(PageOrder) order = new_order();
    const PageOrder *orders[] = {order};
    g_autoptr(PlotData) data = NULL;
    const PlotPoint *points;

    add(order, 10, 4, 1000);
    add(order, 12, 4, 5000);
    data = plot_data_new(orders, 1, NULL);
    assert_int_equal(plot_data_pages(data, 0), 6);
    assert_int_equal(data->curves[0]->len, 2);
    points = (const PlotPoint *)(void *)data->curves[0]->data;
    assert_int_equal(points[0].time_us, 1000);
    assert_int_equal(points[0].bytes, 4 * 4096);
    assert_int_equal(points[1].time_us, 5000);
    assert_int_equal(points[1].bytes, 6 * 4096);
    assert_int_equal(plot_data_max_us(data), 5000);
    assert_int_equal(plot_data_half_us(data, 0), 1000);
}

static void test_curve_rises_in_time_where_the_order_does_not(void **state)
{
    g_autoptr(PageOrder) order = new_order();
    const PageOrder *orders[] = {order};
    g_autoptr(PlotData) data = NULL;
    const PlotPoint *points;

    add(order, 100, 1, 9000);
    add(order, 50, 2, 3000);
    add(order, 70, 3, 3000);
    data = plot_data_new(orders, 1, NULL);
    assert_int_equal(data->curves[0]->len, 2);
    points = (const PlotPoint *)(void *)data->curves[0]->data;
    assert_int_equal(points[0].time_us, 3000);
    assert_int_equal(points[0].bytes, 5 * 4096);
    assert_int_equal(points[1].bytes, 6 * 4096);
}

static void test_cell_has_the_time_of_its_first_touch(void **state)
{
    g_autoptr(PageOrder) order = new_order();
    const PageOrder *orders[] = {order};
    g_autoptr(PlotData) data = NULL;
    g_autofree PlotCell *cells = NULL;
    PlotMap map = layout_one(GIB);

    /* A cell is 16 pages. */
    add(order, 3, 1, 7000);
    add(order, 5, 1, 4000);
    add(order, 9, 10, 6000);
    data = plot_data_new(orders, 1, NULL);
    cells = plot_data_cells(data, &map, &map.bands[0]);
    assert_int_equal(cells[0].first_us, 4000);
    assert_int_equal(cells[0].bytes[PLOT_HAS_A], 9 * 4096);
    assert_int_equal(cells[1].first_us, 6000);
    assert_int_equal(cells[1].bytes[PLOT_HAS_A], 3 * 4096);
    assert_true(cells[2].first_us == PLOT_UNTOUCHED);
}

static void test_two_orders_are_told_apart_page_by_page(void **state)
{
    g_autoptr(PageOrder) a = new_order();
    g_autoptr(PageOrder) b = page_order_new();
    const PageOrder *orders[] = {a, b};
    g_autoptr(PlotData) data = NULL;
    g_autofree PlotCell *cells = NULL;
    PlotMap map = layout_one(GIB);

    page_order_add_block(b, "vga.vram", 16 * MIB, 4096);
    page_order_add_block(b, "pc.ram", GIB, 4096);
    add(a, 0, 4, 0);
    add(b, 2, 3, 0);
    g_array_index(b->extents, PageExtent, 0).block = 1;
    data = plot_data_new(orders, 2, NULL);
    assert_int_equal(data->shared_pages[PLOT_HAS_A], 2);
    assert_int_equal(data->shared_pages[PLOT_HAS_B], 1);
    assert_int_equal(data->shared_pages[PLOT_HAS_BOTH], 2);
    assert_int_equal(plot_data_bytes(data, 1), 3 * 4096);
    assert_int_equal(data->blocks->len, 2);
    cells = plot_data_cells(data, &map, &map.bands[0]);
    assert_int_equal(cells[0].bytes[PLOT_HAS_BOTH], 2 * 4096);
    assert_int_equal(cells[0].bytes[PLOT_HAS_B], 4096);
}

static void test_orders_with_other_page_sizes_are_refused(void **state)
{
    g_autoptr(PageOrder) a = new_order();
    g_autoptr(PageOrder) b = page_order_new();
    const PageOrder *orders[] = {a, b};
    g_autoptr(GError) error = NULL;

    page_order_add_block(b, "pc.ram", GIB, 2 * MIB);
    assert_null(plot_data_new(orders, 2, &error));
    assert_true(
        g_error_matches(error, PROFILER_ERROR, PROFILER_ERROR_MISMATCH));
}

#define STATS_TEXT                                                             \
    "{\"policy\": \"order\", \"demand-faults\": 7, \"blocktime-ms\": 1.5,"     \
    " \"latency-us\": {\"p50\": 10, \"p99\": 20, \"max\": 30},"                \
    " \"pages\": {\"in-file\": 100, \"by-fault\": 7, \"late\": 4,"             \
    " \"by-order\": 60, \"by-rest\": 30, \"zero-on-fault\": 2,"                \
    " \"held-back\": null, \"unused\": null},"                                 \
    " \"resumed-ms\": 250, \"order-done-ms\": null}"

static void test_statistics_of_a_load_are_read(void **state)
{
    json_t *root = json_loads(STATS_TEXT, 0, NULL);
    g_autoptr(PlotStats) stats = plot_stats_from_json(root, NULL);

    json_decref(root);
    assert_string_equal(stats->policy, "order");
    assert_int_equal(stats->by_order, 60);
    assert_int_equal(stats->late, 4);
    assert_true(isnan(stats->unused));
    assert_int_equal(plot_stats_unused(stats), 0);
    assert_int_equal(stats->demand_faults, 7);
    assert_true(stats->max_us == 30);
    assert_true(stats->resumed_ms == 250);
    assert_true(isnan(stats->order_done_ms));
    assert_true(isnan(stats->loaded_ms));
    assert_int_equal(plot_stats_not_loaded(stats), 3);
    assert_true(fabs(plot_stats_mean_fault_us(stats) - 1500.0 / 9) < 1e-9);
}

static void test_unused_pages_are_estimated_from_those_held_back(void **state)
{
    PlotStats stats = {.by_order = 600, .held_back = 40, .unused = 10};

    assert_int_equal(plot_stats_unused(&stats), 150);
    assert_int_equal(plot_stats_held_and_used(&stats), 30);
    assert_true(plot_stats_has_learned(&stats));
    stats.unused = 80;
    assert_int_equal(plot_stats_unused(&stats), 0);
    assert_int_equal(plot_stats_held_and_used(&stats), 0);
}

static void test_nothing_held_back_is_nothing_learned(void **state)
{
    PlotStats stats = {.held_back = 0, .unused = 0};

    assert_false(plot_stats_has_learned(&stats));
    stats.held_back = stats.unused = NAN;
    assert_false(plot_stats_has_learned(&stats));
}

static void
test_not_foreseen_are_faults_on_none_of_the_orders_pages(void **state)
{
    PlotStats stats = {.by_fault = 50, .late = 8, .held_back = 40, .unused = 0};

    assert_int_equal(plot_stats_not_foreseen(&stats), 2);
    stats.held_back = NAN;
    assert_int_equal(plot_stats_not_foreseen(&stats), 42);
    stats.late = 60;
    assert_int_equal(plot_stats_not_foreseen(&stats), 0);
}

static void
test_statistics_without_a_field_are_refused_by_its_name(void **state)
{
    json_t *root = json_loads(STATS_TEXT, 0, NULL);
    g_autoptr(GError) error = NULL;

    json_object_del(json_object_get(root, "pages"), "by-rest");
    assert_null(plot_stats_from_json(root, &error));
    assert_true(g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_MALFORMED));
    assert_non_null(strstr(error->message, "pages.by-rest"));
    json_decref(root);
}

static void
test_statistics_that_are_no_json_are_refused_with_the_line(void **state)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;

    close(g_file_open_tmp("preheat-XXXXXX.json", &path, NULL));
    assert_true(g_file_set_contents(path, "{\n  nonsense\n}", -1, NULL));
    assert_null(plot_stats_load(path, &error));
    assert_non_null(strstr(error->message, ".json:2:"));
    g_unlink(path);
}

static void test_statistics_that_are_missing_are_told_so(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_null(plot_stats_load("/nonexistent/load.json", &error));
    assert_true(g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_IO));
    assert_string_equal(error->message,
                        "/nonexistent/load.json: cannot open it: "
                        "No such file or directory");
}

/* Draw the request into a file with the ending; its content, for g_free(). */
static char *draw(const PlotRequest *request, const char *ending)
{
    g_autofree char *template = g_strconcat("preheat-XXXXXX", ending, NULL);
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    char *content = NULL;

    close(g_file_open_tmp(template, &path, NULL));
    assert_true(order_plot(request, path, &error));
    assert_true(g_file_get_contents(path, &content, NULL, NULL));
    g_unlink(path);
    return content;
}

static PlotRequest request_of(const PageOrder *a, const PageOrder *b)
{
    return (PlotRequest){
        .orders = {a, b},
        .names = {"a.order", "b.order"},
        .n_orders = b ? 2 : 1,
        .width = PLOT_DEFAULT_WIDTH,
        .height = PLOT_DEFAULT_HEIGHT,
    };
}

static void test_ending_tells_the_kind_of_picture(void **state)
{
    g_autoptr(PageOrder) order = new_order();
    PlotRequest request = request_of(order, NULL);
    g_autofree char *svg = NULL;
    g_autofree char *png = NULL;

    add(order, 5, 9, 1000);
    svg = draw(&request, ".svg");
    png = draw(&request, ".png");
    assert_non_null(strstr(svg, "<svg"));
    assert_memory_equal(png, "\x89PNG", 4);
}

static void test_unknown_ending_is_refused(void **state)
{
    g_autoptr(PageOrder) order = new_order();
    PlotRequest request = request_of(order, NULL);
    g_autoptr(GError) error = NULL;

    assert_false(order_plot(&request, "map.gif", &error));
    assert_true(
        g_error_matches(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE));
}

static void test_picture_that_cannot_be_written_is_an_error(void **state)
{
    g_autoptr(PageOrder) order = new_order();
    PlotRequest request = request_of(order, NULL);
    g_autoptr(GError) error = NULL;

    assert_false(order_plot(&request, "/nonexistent/map.png", &error));
    assert_true(g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_IO));
    assert_non_null(strstr(error->message, "/nonexistent/map.png"));
}

static void test_smallest_picture_cuts_no_title_off(void **state)
{
    g_autoptr(PageOrder) order = new_order();
    PlotRequest request = request_of(order, NULL);
    g_autofree char *path = NULL;
    cairo_surface_t *picture;

    /* Half at once, the other half late: the time is logarithmic. */
    add(order, 0, 9, 1);
    add(order, 20, 9, 900);
    request.width = PLOT_MIN_WIDTH;
    request.height = PLOT_MIN_HEIGHT;
    close(g_file_open_tmp("preheat-XXXXXX.png", &path, NULL));
    assert_true(order_plot(&request, path, NULL));
    picture = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_image_surface_get_width(picture), PLOT_MIN_WIDTH);
    for (int y = 0; y < PLOT_MIN_HEIGHT; y++) {
        const uint8_t *row = cairo_image_surface_get_data(picture) +
                             y * cairo_image_surface_get_stride(picture);

        /* Four bytes a pixel; eight columns of margin are white. */
        for (int i = 4 * (PLOT_MIN_WIDTH - 8); i < 4 * PLOT_MIN_WIDTH; i++) {
            assert_int_equal(row[i] | (i % 4 == 3 ? 255 : 0), 255);
        }
    }
    cairo_surface_destroy(picture);
    g_unlink(path);
}

/* The width that the smallest picture has for its statistics, and where in
 * their panel the title ends and the text below a table of n rows begins. */
#define PANEL_WIDTH        322
#define PANEL_HEIGHT       300
#define PANEL_TITLE_BOTTOM 24
#define PANEL_TEXT_TOP(n)  (56 + 19 * (n))

/* The statistics' panel in a box of that width; to be destroyed. */
static cairo_surface_t *draw_panel(const PlotData *data, const PlotStats *stats,
                                   double width)
{
    cairo_surface_t *picture =
        cairo_image_surface_create(CAIRO_FORMAT_ARGB32, 1000, PANEL_HEIGHT);
    const PlotBox box = {0, 0, width, PANEL_HEIGHT};
    cairo_t *cr = cairo_create(picture);

    plot_draw_stats(cr, data, stats, &box);
    cairo_destroy(cr);
    cairo_surface_flush(picture);
    return picture;
}

/* No text is cut: what stands in the narrow box stands in a wide one. */
static void assert_text_fits(const PlotData *data, const PlotStats *stats,
                             int n_rows)
{
    cairo_surface_t *narrow = draw_panel(data, stats, PANEL_WIDTH);
    cairo_surface_t *wide = draw_panel(data, stats, 1000);
    int stride = cairo_image_surface_get_stride(narrow);

    for (int y = 0; y < PANEL_HEIGHT; y++) {
        if (y < PANEL_TITLE_BOTTOM || y >= PANEL_TEXT_TOP(n_rows)) {
            assert_memory_equal(cairo_image_surface_get_data(narrow) +
                                    y * stride,
                                cairo_image_surface_get_data(wide) + y * stride,
                                4 * PANEL_WIDTH);
        }
    }
    cairo_surface_destroy(narrow);
    cairo_surface_destroy(wide);
}

static void test_smallest_picture_cuts_no_statistics_off(void **state)
{
    g_autoptr(PageOrder) order = new_order();
    const PageOrder *orders[] = {order, order};
    g_autoptr(PlotData) one = plot_data_new(orders, 1, NULL);
    g_autoptr(PlotData) two = plot_data_new(orders, 2, NULL);
    char policy[] = "sequential";
    PlotStats stats = {
        .policy = policy,
        .in_file = 12345678,
        .held_back = NAN,
        .unused = NAN,
        .demand_faults = 1234567,
        .blocktime_ms = 23456,
        .p50_us = 120,
        .p99_us = 12340,
        .max_us = 23450,
        .resumed_ms = 1230,
        .order_done_ms = 12340,
        .loaded_ms = 23450,
    };

    two->shared_bytes[PLOT_HAS_A] = two->shared_bytes[PLOT_HAS_B] = 123456789;
    assert_text_fits(one, &stats, 5);
    assert_text_fits(two, &stats, 5);
    stats.held_back = 12345;
    stats.unused = 12344;
    assert_text_fits(one, &stats, 7);
}

static void test_odd_orders_are_drawn_too(void **state)
{
    g_autoptr(PageOrder) none = page_order_new();
    g_autoptr(PageOrder) empty = new_order();
    g_autoptr(PageOrder) odd = page_order_new();
    json_t *root = json_loads(STATS_TEXT, 0, NULL);
    g_autoptr(PlotStats) stats = plot_stats_from_json(root, NULL);
    const PageOrder *orders[] = {none, empty, odd};

    json_decref(root);
    page_order_add_block(odd, "\xff\xfe no UTF-8", 4096, 4096);
    page_order_add_block(odd, "huge", UINT64_C(1) << 62, 4096);
    add(odd, 0, 1, UINT64_MAX / 2);
    for (size_t i = 0; i < G_N_ELEMENTS(orders); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(orders); j++) {
            PlotRequest request = request_of(orders[i], orders[j]);
            g_autofree char *png = NULL;

            request.stats = stats;
            request.width = PLOT_MIN_WIDTH;
            request.height = PLOT_MIN_HEIGHT;
            png = draw(&request, ".png");
            assert_memory_equal(png, "\x89PNG", 4);
        }
    }
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
        cmocka_unit_test(test_sizes_and_counts_are_written_for_people),
        cmocka_unit_test(test_page_in_two_extents_counts_once_at_its_first),
        cmocka_unit_test(test_curve_rises_in_time_where_the_order_does_not),
        cmocka_unit_test(test_cell_has_the_time_of_its_first_touch),
        cmocka_unit_test(test_two_orders_are_told_apart_page_by_page),
        cmocka_unit_test(test_orders_with_other_page_sizes_are_refused),
        cmocka_unit_test(test_statistics_of_a_load_are_read),
        cmocka_unit_test(test_unused_pages_are_estimated_from_those_held_back),
        cmocka_unit_test(test_nothing_held_back_is_nothing_learned),
        cmocka_unit_test(
            test_not_foreseen_are_faults_on_none_of_the_orders_pages),
        cmocka_unit_test(
            test_statistics_without_a_field_are_refused_by_its_name),
        cmocka_unit_test(
            test_statistics_that_are_no_json_are_refused_with_the_line),
        cmocka_unit_test(test_statistics_that_are_missing_are_told_so),
        cmocka_unit_test(test_ending_tells_the_kind_of_picture),
        cmocka_unit_test(test_unknown_ending_is_refused),
        cmocka_unit_test(test_picture_that_cannot_be_written_is_an_error),
        cmocka_unit_test(test_smallest_picture_cuts_no_title_off),
        cmocka_unit_test(test_smallest_picture_cuts_no_statistics_off),
        cmocka_unit_test(test_odd_orders_are_drawn_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
