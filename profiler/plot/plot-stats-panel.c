/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/plot/plot-panels.h"

#include <math.h>

#include "profiler/plot/plot-canvas.h"
#include "util/units.h"

#define BAR_HEIGHT  20.0
#define LINE_HEIGHT 19.0

typedef struct Share {
    PlotColour colour;
    const char *text;
    uint64_t n_pages;
    bool unknown; /* not shown */
} Share;

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void draw_bar(cairo_t *cr, const Share *shares, size_t n, uint64_t whole,
                     const PlotBox *bar)
{
    double x = bar->x;

    for (size_t i = 0; i < n; i++) {
        PlotBox part = *bar;

        part.x = x;
        part.width = bar->width * percent(shares[i].n_pages, whole) / 100;
        plot_fill_box(cr, &part, shares[i].colour);
        x += part.width;
    }
}

static void draw_share(cairo_t *cr, const Share *share, uint64_t whole,
                       double x, double y, double width)
{
    g_autofree char *count = plot_format_count(share->n_pages);
    g_autofree char *part =
        g_strdup_printf("%.1f %%", percent(share->n_pages, whole));

    plot_legend_entry(cr, x, y, share->colour, share->text);
    plot_text(cr, x + width - 52, y, PLOT_RIGHT, PLOT_SMALL_SIZE, 0, count);
    plot_text(cr, x + width, y, PLOT_RIGHT, PLOT_SMALL_SIZE, 0, part);
}

static void draw_line(cairo_t *cr, const PlotBox *box, double *y,
                      const char *format, ...) G_GNUC_PRINTF(4, 5);

static void draw_line(cairo_t *cr, const PlotBox *box, double *y,
                      const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    plot_text(cr, box->x, *y, PLOT_LEFT, PLOT_SMALL_SIZE, box->width, text);
    *y += LINE_HEIGHT;
}

static void add_moment(GString *text, const char *what, double moment_ms)
{
    if (!isnan(moment_ms)) {
        g_string_append_printf(text, "%s%s %.2f s", text->len > 0 ? ", " : "",
                               what, moment_ms / 1000);
    }
}

static void draw_moments(cairo_t *cr, const PlotStats *stats,
                         const PlotBox *box, double *y)
{
    g_autoptr(GString) text = g_string_new(NULL);

    add_moment(text, "resumed after", stats->resumed_ms);
    add_moment(text, "order in", stats->order_done_ms);
    add_moment(text, "all in", stats->loaded_ms);
    draw_line(cr, box, y, "%s", text->str);
}

/* What of the order the guest did not use: told by a second order that says
 * what it touched, or estimated from what the load held back to learn. */
static void draw_waste(cairo_t *cr, const PlotData *data,
                       const PlotStats *stats, const PlotBox *box, double *y)
{
    g_autofree char *unused = units_format_size(data->shared_bytes[PLOT_HAS_A]);
    g_autofree char *missed = units_format_size(data->shared_bytes[PLOT_HAS_B]);

    if (data->n_orders > 1) {
        draw_line(cr, box, y, "if B was touched: %s unused, %s missed", unused,
                  missed);
    } else if (!plot_stats_has_learned(stats)) {
        plot_set_colour(cr, plot_dim);
        draw_line(cr, box, y, "never used: not known; loadvm --learn shows it");
    } else {
        draw_line(cr, box, y,
                  "estimate: %.0f of %.0f pages held back were unused",
                  stats->unused, stats->held_back);
    }
}

void plot_draw_stats(cairo_t *cr, const PlotData *data, const PlotStats *stats,
                     const PlotBox *box)
{
    uint64_t n_order_pages = plot_data_pages(data, 0);
    uint64_t own = plot_stats_own(stats, n_order_pages);
    uint64_t unused = plot_stats_unused(stats, n_order_pages);
    bool learned = plot_stats_has_learned(stats);
    const Share shares[] = {
        {plot_blue, "on time: read ahead by the order", own - unused},
        {plot_purple, "read along, between its pages", stats->by_order - own},
        {plot_black, "wasted: read ahead, never used", unused, !learned},
        {plot_green, "held back to learn, and used",
         plot_stats_held_and_used(stats), !learned},
        {plot_vermilion, "late: the guest touched it first", stats->late},
        {plot_orange, "not foreseen: demand faults",
         plot_stats_not_foreseen(stats)},
        {plot_sky, "with the rest of the load", stats->by_rest},
        {plot_grey, "not loaded", plot_stats_not_loaded(stats)},
    };
    g_autofree char *in_file = plot_format_count(stats->in_file);
    g_autofree char *faults = plot_format_count(stats->demand_faults);
    g_autofree char *title =
        g_strdup_printf("%s pages by policy %s", in_file, stats->policy);
    PlotBox bar = {box->x, box->y + 24, box->width, BAR_HEIGHT};
    double y = bar.y + bar.height + 20;

    plot_set_colour(cr, plot_black);
    plot_text_bold(cr, box->x, box->y + 14, PLOT_HEADING_SIZE, box->width,
                   title);
    plot_fill_box(cr, &bar, plot_pale);
    draw_bar(cr, shares, G_N_ELEMENTS(shares), stats->in_file, &bar);
    for (size_t i = 0; i < G_N_ELEMENTS(shares); i++) {
        if (!shares[i].unknown) {
            draw_share(cr, &shares[i], stats->in_file, box->x, y, box->width);
            y += LINE_HEIGHT;
        }
    }
    y += 6;
    draw_line(cr, box, &y, "%s demand faults, blocked for %.0f ms in total",
              faults, stats->blocktime_ms);
    draw_line(cr, box, &y, "median %.2f, 99th percentile %.2f, longest %.2f ms",
              stats->p50_us / 1000, stats->p99_us / 1000, stats->max_us / 1000);
    draw_moments(cr, stats, box, &y);
    draw_waste(cr, data, stats, box, &y);
}
