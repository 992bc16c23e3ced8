/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a picture shows of a load's statistics; docs/statistics.md defines
 * them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

typedef struct PlotStats {
    char *policy;
    uint64_t in_file, by_order, by_rest, by_fault; /* pages */
    uint64_t late; /* of by_fault, what the order has */
    uint64_t zero_on_fault;
    double held_back, unused; /* pages; NAN: nothing was learned */
    uint64_t demand_faults;
    double blocktime_ms;
    double p50_us, p99_us, max_us;               /* of the faults */
    double resumed_ms, order_done_ms, loaded_ms; /* NAN: did not happen */
} PlotStats;

/* Read the statistics of `preheat loadvm --stats`.  Returns NULL with
 * FORMATS_ERROR, which names the field that is missing or wrong. */
PlotStats *plot_stats_from_json(const json_t *root, GError **error);

/* The same from a file; errors are prefixed with its path. */
PlotStats *plot_stats_load(const char *path, GError **error);

/* NULL is fine. */
void plot_stats_free(PlotStats *stats);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PlotStats, plot_stats_free)

/* What one fault blocked its vCPU for, on average; 0 without a fault. */
double plot_stats_mean_fault_us(const PlotStats *stats);

/* Whether the load has held something back, and come to the end of it. */
bool plot_stats_has_learned(const PlotStats *stats);

/* How many pages were held back and then used. */
uint64_t plot_stats_held_and_used(const PlotStats *stats);

/* How many pages of by_order are the order's own, of which it has
 * n_order_pages.  The others lie between these, and were read along with
 * them.  Pages of the order that are not in the file make this too large. */
uint64_t plot_stats_own(const PlotStats *stats, uint64_t n_order_pages);

/* How many of the order's own pages were read ahead and used by nobody: an
 * estimate from what was held back, 0 where there is none. */
uint64_t plot_stats_unused(const PlotStats *stats, uint64_t n_order_pages);

/* How many pages of by_fault the order has not. */
uint64_t plot_stats_not_foreseen(const PlotStats *stats);

/* Pages of the file that were not loaded when the statistics were made. */
uint64_t plot_stats_not_loaded(const PlotStats *stats);
