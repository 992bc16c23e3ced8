/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pictures of page-access orders.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

#include "formats/page-order.h"
#include "profiler/plot/plot-stats.h"

#define PLOT_DEFAULT_WIDTH  1200
#define PLOT_DEFAULT_HEIGHT 800
#define PLOT_MIN_WIDTH      900
#define PLOT_MIN_HEIGHT     600
#define PLOT_MAX_SIZE       10000

typedef struct PlotRequest {
    const PageOrder *orders[2];
    const char *names[2];   /* as the picture calls them */
    size_t n_orders;        /* 2: their difference */
    const PlotStats *stats; /* of a load with the first order, or NULL */
    unsigned width, height; /* from PLOT_MIN_… to PLOT_MAX_SIZE */
} PlotRequest;

/*
 * Draw the picture into path, which ends in .svg or .png: to a temporary
 * name, synced, renamed.
 *
 * Errors: PROFILER_ERROR_MISMATCH if the orders' blocks do not fit together,
 * G_OPTION_ERROR_BAD_VALUE for another ending, UTIL_ERROR for writing.
 */
bool order_plot(const PlotRequest *request, const char *path, GError **error);
