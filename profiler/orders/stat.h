/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Statistics of an order.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"

/* Stretches of up to 2^0, 2^1, …, 2^63 pages. */
#define ORDER_STAT_STRETCH_BUCKETS 64
#define ORDER_STAT_ACCESSES        (PAGE_ACCESS_WRITE + 1)

typedef struct OrderBlockStat {
    uint64_t n_pages; /* distinct ones in the order */
    uint64_t n_bytes;
    uint64_t n_pages_in_file; /* of n_pages, those in the snapshot's file */
    uint64_t first_us; /* earliest and latest first touch, 0 if no pages */
    uint64_t last_us;
} OrderBlockStat;

typedef struct OrderStat {
    size_t n_extents;   /* as they are */
    size_t n_stretches; /* of neighbouring pages, once normalised */
    uint64_t n_pages;   /* distinct ones */
    uint64_t n_bytes;
    uint64_t n_pages_repeated;  /* that an earlier extent has, too */
    size_t n_phases;            /* of order_phases(), normalised */
    uint64_t last_us;           /* the latest first touch */
    uint64_t stretch_pages_min; /* their lengths, 0 if there are none */
    uint64_t stretch_pages_median;
    uint64_t stretch_pages_max;
    /* How many stretches have more than 2^(i-1) and at most 2^i pages. */
    size_t stretch_pages_dist[ORDER_STAT_STRETCH_BUCKETS];
    uint64_t n_pages_by_access[ORDER_STAT_ACCESSES];
    GArray *blocks; /* of OrderBlockStat, as the order's blocks */
    /* Of uint64_t: pages first touched in each of equal stretches of time
     * from 0 to last_us, the last one with its end. */
    GArray *timeline;
    /* With a snapshot; else 0.  The pages in its file, and of the order's
     * pages those in it, and those that it lacks since they are zero or the
     * snapshot has no such page. */
    uint64_t n_pages_in_file;
    uint64_t n_pages_common;
    uint64_t n_pages_not_in_file;
} OrderStat;

typedef struct OrderStatOptions {
    uint64_t phase_bytes;
    uint64_t phase_quiet_us;
    size_t n_timeline; /* stretches of time, at least 1 */
} OrderStatOptions;

/* Numbers on a valid order, and with a snapshot (NULL: none) on how much of
 * it the order covers; whether they belong together is not checked. */
OrderStat *order_stat(const PageOrder *order, const RamImage *snapshot,
                      const OrderStatOptions *options);

/* NULL is fine. */
void order_stat_free(OrderStat *stat);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(OrderStat, order_stat_free)
