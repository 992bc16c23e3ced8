/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a picture shows of one order or two: bytes by block, curves of the
 * working set, and the cells of the map.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"
#include "profiler/plot/plot-layout.h"

#define PLOT_MAX_ORDERS 2
#define PLOT_UNTOUCHED  UINT64_MAX

typedef struct PlotPoint {
    uint64_t time_us;
    uint64_t bytes; /* touched up to then */
} PlotPoint;

/* Who has a page: the bits of the orders. */
enum {
    PLOT_HAS_A = 1,
    PLOT_HAS_B = 2,
    PLOT_HAS_BOTH = 3,
};

typedef struct PlotData {
    size_t n_orders;
    PageOrder *joined; /* has the blocks of all orders */
    GArray *segments[PLOT_MAX_ORDERS];
    const PageOrder *orders[PLOT_MAX_ORDERS];
    GArray *blocks;                  /* of PlotBlock, as joined's */
    GArray *curves[PLOT_MAX_ORDERS]; /* of PlotPoint, by time */
    uint64_t shared_bytes[4];        /* by who has them, PLOT_HAS_… */
    uint64_t shared_pages[4];
} PlotData;

typedef struct PlotCell {
    uint64_t first_us; /* when the first of its pages was touched, in the
                          first order; PLOT_UNTOUCHED */
    uint64_t bytes[4]; /* by who has them */
} PlotCell;

/* Work out orders (1 or 2, which must outlive it).  Returns NULL with
 * PROFILER_ERROR_MISMATCH if their blocks do not fit together. */
PlotData *plot_data_new(const PageOrder *const *orders, size_t n_orders,
                        GError **error);

/* NULL is fine. */
void plot_data_free(PlotData *data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PlotData, plot_data_free)

/* When half of what order i touches had been touched. */
uint64_t plot_data_half_us(const PlotData *data, size_t i);

/* The last first touch of all orders. */
uint64_t plot_data_max_us(const PlotData *data);

/* Bytes that order i touches. */
uint64_t plot_data_bytes(const PlotData *data, size_t i);
uint64_t plot_data_pages(const PlotData *data, size_t i);

/* The cells of one band of the map: n_cells of them, for g_free(). */
PlotCell *plot_data_cells(const PlotData *data, const PlotMap *map,
                          const PlotBand *band);
