/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/plot/plot-panels.h"

#include "profiler/plot/plot-canvas.h"

#define LEFT_MARGIN   70.0
#define TITLE_HEIGHT  28.0
#define BOTTOM_MARGIN 56.0
#define STRIP_HEIGHT  9.0
#define LINE          2.0
#define WIDE_LINE     5.0 /* still seen where the other lies on it */

static double x_of(const PlotAxis *time, const PlotBox *area, uint64_t us)
{
    return area->x + plot_axis_position(time, us) * area->width;
}

static double y_of(const PlotAxis *bytes, const PlotBox *area, uint64_t n)
{
    return area->y + (1 - plot_axis_position(bytes, n)) * area->height;
}

static void draw_byte_axis(cairo_t *cr, const PlotAxis *bytes,
                           const PlotBox *area)
{
    g_autofree char *title =
        g_strdup_printf("working set (%s)", bytes->unit_name);

    for (size_t i = 0; i < bytes->n_ticks; i++) {
        const PlotTick *tick = &bytes->ticks[i];
        g_autofree char *label = g_strdup_printf("%g", tick->value);
        double y = area->y + (1 - tick->position) * area->height;

        plot_line_at(cr, area->x, y, area->x + area->width, y, plot_line);
        plot_set_colour(cr, plot_dim);
        plot_text(cr, area->x - 8, y + 4, PLOT_RIGHT, PLOT_SMALL_SIZE, 0,
                  label);
    }
    cairo_save(cr);
    cairo_translate(cr, area->x - 54, area->y + area->height / 2);
    cairo_rotate(cr, -G_PI / 2);
    plot_set_colour(cr, plot_black);
    plot_text(cr, 0, 0, PLOT_CENTRE, PLOT_TEXT_SIZE, 0, title);
    cairo_restore(cr);
}

static void draw_time_axis(cairo_t *cr, const PlotAxis *time,
                           const PlotBox *area)
{
    double y = area->y + area->height;
    g_autofree char *title =
        g_strdup_printf("time into the recording (%s%s)", time->unit_name,
                        time->is_log ? ", log." : "");

    for (size_t i = 0; i < time->n_ticks; i++) {
        const PlotTick *tick = &time->ticks[i];
        g_autofree char *label = g_strdup_printf("%g", tick->value);
        double x = area->x + tick->position * area->width;

        plot_line_at(cr, x, area->y, x, y, plot_line);
        plot_line_at(cr, x, y + STRIP_HEIGHT, x, y + STRIP_HEIGHT + 4,
                     plot_dim);
        plot_set_colour(cr, plot_dim);
        plot_text(cr, x, y + STRIP_HEIGHT + 18, PLOT_CENTRE, PLOT_SMALL_SIZE, 0,
                  label);
    }
    plot_set_colour(cr, plot_black);
    plot_text(cr, area->x + area->width / 2, y + STRIP_HEIGHT + 38, PLOT_CENTRE,
              PLOT_TEXT_SIZE, 0, title);
}

/* The map's colours along the time axis. */
static void draw_strip(cairo_t *cr, const PlotBox *area)
{
    PlotBox strip = {area->x, area->y + area->height, area->width,
                     STRIP_HEIGHT};

    plot_fill_scale(cr, &strip);
}

/* A staircase: between two touches the working set stays as it is. */
static void draw_curve(cairo_t *cr, const GArray *curve, const PlotAxis *time,
                       const PlotAxis *bytes, const PlotBox *area,
                       PlotColour colour, double width)
{
    double x = area->x;
    double y = y_of(bytes, area, 0);

    cairo_move_to(cr, x, y);
    for (guint i = 0; i < curve->len; i++) {
        const PlotPoint *point = &g_array_index(curve, PlotPoint, i);
        double next_x = x_of(time, area, point->time_us);
        double next_y = y_of(bytes, area, point->bytes);

        /* What lies closer together than the eye can tell is left out. */
        if (next_x - x > 0.4 || y - next_y > 0.4 || i + 1 == curve->len) {
            cairo_line_to(cr, next_x, y);
            cairo_line_to(cr, next_x, next_y);
            x = next_x;
            y = next_y;
        }
    }
    plot_set_colour(cr, colour);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_width(cr, width);
    cairo_stroke(cr);
    cairo_arc(cr, x, y, width + 1.5, 0, 2 * G_PI);
    cairo_fill(cr);
}

static void draw_legend(cairo_t *cr, const PlotBox *area)
{
    double x = plot_legend_entry(cr, area->x + area->width - 66, area->y - 10,
                                 plot_blue, "A");

    plot_legend_entry(cr, x, area->y - 10, plot_orange, "B");
}

void plot_draw_curves(cairo_t *cr, const PlotData *data, const PlotAxis *time,
                      const PlotBox *box)
{
    PlotBox area = {
        .x = box->x + LEFT_MARGIN,
        .y = box->y + TITLE_HEIGHT,
        .width = box->width - LEFT_MARGIN,
        .height = box->height - TITLE_HEIGHT - BOTTOM_MARGIN,
    };
    uint64_t max_bytes = 0;
    PlotAxis bytes;

    for (size_t i = 0; i < data->n_orders; i++) {
        max_bytes = MAX(max_bytes, plot_data_bytes(data, i));
    }
    bytes = plot_axis_bytes(max_bytes);
    plot_set_colour(cr, plot_black);
    plot_text_bold(cr, area.x, box->y + 14, PLOT_HEADING_SIZE, 0,
                   "Working set over time");
    draw_byte_axis(cr, &bytes, &area);
    draw_time_axis(cr, time, &area);
    plot_line_at(cr, area.x, area.y, area.x, area.y + area.height, plot_dim);
    if (data->n_orders > 1) {
        plot_line_at(cr, area.x, area.y + area.height, area.x + area.width,
                     area.y + area.height, plot_dim);
        draw_curve(cr, data->curves[1], time, &bytes, &area, plot_orange,
                   WIDE_LINE);
        draw_legend(cr, &area);
    } else {
        draw_strip(cr, &area);
    }
    draw_curve(cr, data->curves[0], time, &bytes, &area, plot_blue, LINE);
}
