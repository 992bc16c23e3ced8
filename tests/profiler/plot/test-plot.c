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

#include "profiler/orders/error.h"
#include "profiler/plot/plot-data.h"
#include "profiler/plot/plot-layout.h"
#include "profiler/plot/plot-panels.h"
#include "profiler/plot/plot-stats.h"
#include "profiler/plot/plot.h"
#include "util/error.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Fontconfig keeps some memory to the end; LeakSanitizer asks here what to
 * leave out. */
__attribute__((visibility("default"))) const char *
__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}

/* Where pages of the one block go. */
static PlotMap layout_one_gib(void)
{
    const PlotBox box = {70, 100, 600, 560};
    const PlotBlock block = {GIB, 4096, 0};

    return plot_map_layout(&block, 1, &box);
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
    PageExtent extent = {.span = {0, page, n_pages}, .time_us = time_us};

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
    PlotMap map = layout_one_gib();

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
    PlotMap map = layout_one_gib();

    page_order_add_block(b, "vga.vram", 16 * MIB, 4096);
    page_order_add_block(b, "pc.ram", GIB, 4096);
    add(a, 0, 4, 0);
    add(b, 2, 3, 0);
    g_array_index(b->extents, PageExtent, 0).span.block = 1;
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
    assert_true(g_error_matches(error, UTIL_ERROR, UTIL_ERROR_FAILED));
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
    assert_text_fits(one, &stats, 6);
    assert_text_fits(two, &stats, 6);
    stats.held_back = 12345;
    stats.unused = 12344;
    assert_text_fits(one, &stats, 8);
}

static void test_odd_orders_are_drawn_too(void **state)
{
    g_autoptr(PageOrder) none = page_order_new();
    g_autoptr(PageOrder) empty = new_order();
    g_autoptr(PageOrder) odd = page_order_new();
    const PlotStats stats = {
        .policy = (char *)"order",
        .in_file = 100,
        .by_fault = 7,
        .by_order = 60,
        .by_rest = 30,
        .late = 4,
        .zero_on_fault = 2,
        .held_back = NAN,
        .unused = NAN,
        .demand_faults = 7,
        .blocktime_ms = 1.5,
        .p50_us = 10,
        .p99_us = 20,
        .max_us = 30,
        .resumed_ms = 250,
        .order_done_ms = NAN,
        .loaded_ms = NAN,
    };
    const PageOrder *orders[] = {none, empty, odd};

    page_order_add_block(odd, "\xff\xfe no UTF-8", 4096, 4096);
    page_order_add_block(odd, "huge", UINT64_C(1) << 62, 4096);
    add(odd, 0, 1, UINT64_MAX / 2);
    for (size_t i = 0; i < G_N_ELEMENTS(orders); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(orders); j++) {
            PlotRequest request = request_of(orders[i], orders[j]);
            g_autofree char *png = NULL;

            request.stats = &stats;
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
        cmocka_unit_test(test_page_in_two_extents_counts_once_at_its_first),
        cmocka_unit_test(test_curve_rises_in_time_where_the_order_does_not),
        cmocka_unit_test(test_cell_has_the_time_of_its_first_touch),
        cmocka_unit_test(test_two_orders_are_told_apart_page_by_page),
        cmocka_unit_test(test_orders_with_other_page_sizes_are_refused),
        cmocka_unit_test(test_ending_tells_the_kind_of_picture),
        cmocka_unit_test(test_unknown_ending_is_refused),
        cmocka_unit_test(test_picture_that_cannot_be_written_is_an_error),
        cmocka_unit_test(test_smallest_picture_cuts_no_title_off),
        cmocka_unit_test(test_smallest_picture_cuts_no_statistics_off),
        cmocka_unit_test(test_odd_orders_are_drawn_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
