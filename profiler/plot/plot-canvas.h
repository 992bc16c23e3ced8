/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A sheet to draw on, which becomes a file, and what is drawn more than once.
 */
#pragma once

#include <stdbool.h>

#include <cairo.h>
#include <glib.h>

#include "profiler/plot/plot-layout.h"

#define PLOT_TITLE_SIZE   19.0
#define PLOT_HEADING_SIZE 14.0
#define PLOT_TEXT_SIZE    13.0
#define PLOT_SMALL_SIZE   11.5

typedef struct PlotColour {
    double red, green, blue;
} PlotColour;

/* Okabe and Ito's palette, which colour-blind readers can tell apart. */
extern const PlotColour plot_black, plot_grey, plot_blue, plot_sky, plot_orange,
    plot_vermilion, plot_green;
/* Guest memory that nobody touched; grid lines; secondary text. */
extern const PlotColour plot_purple, plot_pale, plot_line, plot_dim;

/* The colour scale viridis, position from 0 to 1: even in lightness, so that
 * it also reads in grey and for colour-blind readers. */
PlotColour plot_viridis(double position);

typedef enum {
    PLOT_LEFT,
    PLOT_CENTRE,
    PLOT_RIGHT,
} PlotAlign;

/* Draw one line of text, its baseline at y, in the current colour; cut in the
 * middle if wider than max_width (0: any width).  Returns where it ends. */
double plot_text(cairo_t *cr, double x, double y, PlotAlign align, double size,
                 double max_width, const char *text);

/* The same, bold and left-aligned. */
double plot_text_bold(cairo_t *cr, double x, double y, double size,
                      double max_width, const char *text);

void plot_set_colour(cairo_t *cr, PlotColour colour);
void plot_fill_box(cairo_t *cr, const PlotBox *box, PlotColour colour);

/* Fill box with the colour scale, from left to right. */
void plot_fill_scale(cairo_t *cr, const PlotBox *box);

/* A thin line that falls on whole pixels. */
void plot_line_at(cairo_t *cr, double x0, double y0, double x1, double y1,
                  PlotColour colour);

/* A coloured square and its meaning, at x and with the baseline y; returns
 * where the next can begin. */
double plot_legend_entry(cairo_t *cr, double x, double y, PlotColour colour,
                         const char *text);

/*
 * Have draw() draw a sheet, and write it to path, as SVG or PNG by its ending:
 * to a temporary name, synced, renamed.
 *
 * Errors are G_OPTION_ERROR_BAD_VALUE for another ending, else FORMATS_ERROR
 * or UTIL_ERROR, prefixed with the path.
 */
bool plot_canvas_write(const char *path, double width, double height,
                       void (*draw)(cairo_t *cr, double width, double height,
                                    void *opaque),
                       void *opaque, GError **error);
