/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/plot/plot.h"

#include "profiler/plot/plot-canvas.h"
#include "profiler/plot/plot-data.h"
#include "profiler/plot/plot-panels.h"
#include "util/units.h"

#define MARGIN       26.0
#define LINE_HEIGHT  19.0
#define MAP_SHARE    0.58
#define GUTTER       34.0
#define STATS_HEIGHT 309.0

typedef struct Picture {
    const PlotRequest *request;
    PlotData *data;
    PlotAxis time;
} Picture;

static const char *origin_text(PageOrderOrigin origin)
{
    switch (origin) {
    case PAGE_ORDER_ORIGIN_SAVE:
        return "recorded after a save";
    case PAGE_ORDER_ORIGIN_LOAD:
        return "recorded during a load";
    case PAGE_ORDER_ORIGIN_LEARNED:
        return "learned";
    case PAGE_ORDER_ORIGIN_UNKNOWN:
        break;
    }
    return "of unknown origin";
}

/* "33,919 pages (132.5 MiB) in 5,123 extents, recorded …"; for g_free(). */
static char *describe(const Picture *picture, size_t i)
{
    const PageOrder *order = picture->request->orders[i];
    g_autofree char *pages =
        plot_format_count(plot_data_pages(picture->data, i));
    g_autofree char *bytes =
        units_format_size(plot_data_bytes(picture->data, i));
    g_autofree char *extents = plot_format_count(order->extents->len);
    g_autofree char *snapshot =
        order->identity ? g_strdup_printf("snapshot %.12s…", order->identity)
                        : g_strdup("snapshot not known");

    return g_strdup_printf(
        "%s pages (%s) in %s extent%s, %s, %u run%s, %s", pages, bytes, extents,
        order->extents->len == 1 ? "" : "s", origin_text(order->origin),
        order->n_runs, order->n_runs == 1 ? "" : "s", snapshot);
}

static void draw_title(cairo_t *cr, const Picture *picture, double width)
{
    const PlotRequest *request = picture->request;
    g_autofree char *title =
        request->n_orders > 1
            ? g_strdup_printf("Page-access orders compared: A %s, B %s",
                              request->names[0], request->names[1])
            : g_strdup_printf("Page-access order %s", request->names[0]);

    plot_set_colour(cr, plot_black);
    plot_text_bold(cr, MARGIN, MARGIN + 14, PLOT_TITLE_SIZE, width - 2 * MARGIN,
                   title);
}

/* What both have of what either has. */
static char *describe_overlap(const PlotData *data)
{
    g_autofree char *both =
        units_format_size(data->shared_bytes[PLOT_HAS_BOTH]);
    g_autofree char *a = units_format_size(data->shared_bytes[PLOT_HAS_A]);
    g_autofree char *b = units_format_size(data->shared_bytes[PLOT_HAS_B]);
    double all = (double)data->shared_bytes[PLOT_HAS_BOTH] +
                 (double)data->shared_bytes[PLOT_HAS_A] +
                 (double)data->shared_bytes[PLOT_HAS_B];

    return g_strdup_printf(
        "In both %s, only in A %s, only in B %s: %.1f %% of all pages are in "
        "both",
        both, a, b,
        all > 0 ? 100 * (double)data->shared_bytes[PLOT_HAS_BOTH] / all : 100);
}

/* Returns where the panels can begin. */
static double draw_captions(cairo_t *cr, const Picture *picture, double width)
{
    size_t n_orders = picture->request->n_orders;
    double y = MARGIN + 38;

    plot_set_colour(cr, plot_dim);
    for (size_t i = 0; i < n_orders; i++) {
        g_autofree char *caption = describe(picture, i);
        g_autofree char *text = g_strdup_printf("%s%s",
                                                n_orders == 1 ? ""
                                                : i == 0      ? "A: "
                                                              : "B: ",
                                                caption);

        plot_text(cr, MARGIN, y, PLOT_LEFT, PLOT_TEXT_SIZE, width - 2 * MARGIN,
                  text);
        y += LINE_HEIGHT;
    }
    if (n_orders > 1) {
        g_autofree char *overlap = describe_overlap(picture->data);

        plot_text(cr, MARGIN, y, PLOT_LEFT, PLOT_TEXT_SIZE, width - 2 * MARGIN,
                  overlap);
        y += LINE_HEIGHT;
    }
    return y + 6;
}

static void draw_picture(cairo_t *cr, double width, double height, void *opaque)
{
    const Picture *picture = opaque;
    const PlotStats *stats = picture->request->stats;
    PlotBox sheet = {0, 0, width, height};
    PlotBox map = {.x = MARGIN, .width = (width - 2 * MARGIN) * MAP_SHARE};
    PlotBox right = {.x = map.x + map.width + GUTTER};

    plot_fill_box(cr, &sheet, (PlotColour){1, 1, 1});
    draw_title(cr, picture, width);
    map.y = draw_captions(cr, picture, width);
    map.height = height - map.y - MARGIN;
    right.y = map.y;
    right.width = width - MARGIN - right.x;
    right.height = map.height - (stats ? STATS_HEIGHT : 0);
    plot_draw_map(cr, picture->data, &picture->time, &map);
    plot_draw_curves(cr, picture->data, &picture->time, &right);
    if (stats) {
        right.y += right.height + 12;
        right.height = STATS_HEIGHT - 12;
        plot_draw_stats(cr, picture->data, stats, &right);
    }
}

bool order_plot(const PlotRequest *request, const char *path, GError **error)
{
    g_autoptr(PlotData) data =
        plot_data_new(request->orders, request->n_orders, error);
    Picture picture = {.request = request, .data = data};

    if (!data) {
        return false;
    }
    picture.time =
        plot_axis_time(plot_data_max_us(data), plot_data_half_us(data, 0));
    return plot_canvas_write(path, request->width, request->height,
                             draw_picture, &picture, error);
}
