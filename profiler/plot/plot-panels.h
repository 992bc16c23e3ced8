/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The panels of the picture of an order.  Each fills its box, axis labels and
 * titles included.
 */
#pragma once

#include <cairo.h>

#include "profiler/plot/plot-data.h"
#include "profiler/plot/plot-layout.h"
#include "profiler/plot/plot-stats.h"

/* Guest memory: coloured by the time of first touch, or with two orders by
 * which of them has it. */
void plot_draw_map(cairo_t *cr, const PlotData *data, const PlotAxis *time,
                   const PlotBox *box);

/* The working set over time, a curve for each order. */
void plot_draw_curves(cairo_t *cr, const PlotData *data, const PlotAxis *time,
                      const PlotBox *box);

/* How the pages of a load came in. */
void plot_draw_stats(cairo_t *cr, const PlotData *data, const PlotStats *stats,
                     const PlotBox *box);
