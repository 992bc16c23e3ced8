/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/merge.h"

#include <stdlib.h>

#include "profiler/orders/match.h"
#include "profiler/orders/overlay.h"
#include "profiler/orders/radix-sort.h"
#include "profiler/orders/segments.h"

/* A merged extent with its place among those of the same time. */
typedef struct MergedExtent {
    PageExtent extent;
    uint32_t sequence;
} MergedExtent;

typedef struct WeightedTime {
    uint64_t time_us;
    uint64_t weight;
} WeightedTime;

typedef struct Merge {
    const PageOrder *const *orders;
    size_t n;
    size_t min_orders;
    GArray **lists;      /* the orders' segments, in merged's blocks */
    WeightedTime *times; /* of the current piece, room for n */
    PageOrder *merged;
} Merge;

static int compare_times(const void *pa, const void *pb)
{
    const WeightedTime *a = pa;
    const WeightedTime *b = pb;

    return (a->time_us > b->time_us) - (a->time_us < b->time_us);
}

/* The time that half of the weight is before; between two such times, their
 * middle. */
static uint64_t weighted_median(WeightedTime *times, size_t n)
{
    uint64_t total = 0;
    uint64_t before = 0;
    size_t i = 0;

    qsort(times, n, sizeof(*times), compare_times);
    for (size_t k = 0; k < n; k++) {
        total += times[k].weight;
    }
    while (2 * (before + times[i].weight) < total) {
        before += times[i++].weight;
    }
    if (2 * (before + times[i].weight) == total) {
        uint64_t next_us = times[i + 1].time_us;

        return times[i].time_us + (next_us - times[i].time_us) / 2;
    }
    return times[i].time_us;
}

static size_t count_owners(const Merge *merge, const OverlayPiece *piece)
{
    size_t n_owners = 0;

    for (size_t i = 0; i < merge->n; i++) {
        n_owners += piece->owners[i] != NULL;
    }
    return n_owners;
}

static MergedExtent merge_piece(Merge *merge, const OverlayPiece *piece)
{
    MergedExtent merged = {
        .extent =
            {
                .span = piece->span,
                .idle_loads = UINT32_MAX,
            },
    };
    PageExtent *to = &merged.extent;
    size_t n_times = 0;

    for (size_t i = 0; i < merge->n; i++) {
        const PageSegment *owner = piece->owners[i];
        const PageExtent *from;

        if (owner == NULL) {
            continue;
        }
        from = page_order_extent(merge->orders[i], owner->extent);
        if (n_times == 0) {
            merged.sequence = owner->extent;
        }
        merge->times[n_times++] = (WeightedTime){
            .time_us = from->time_us,
            .weight = merge->orders[i]->n_runs,
        };
        to->idle_loads = MIN(to->idle_loads, from->idle_loads);
        if (to->access == PAGE_ACCESS_UNKNOWN) {
            to->access = from->access;
        }
    }
    to->time_us = weighted_median(merge->times, n_times);
    return merged;
}

static uint64_t time_key(const void *merged)
{
    return ((const MergedExtent *)merged)->extent.time_us;
}

static uint64_t sequence_key(const void *merged)
{
    return ((const MergedExtent *)merged)->sequence;
}

static void merge_segments(Merge *merge)
{
    g_autoptr(GArray) pieces = g_array_new(FALSE, FALSE, sizeof(MergedExtent));
    g_autoptr(Overlay) overlay = overlay_new(merge->lists, merge->n);
    OverlayPiece piece;

    while (overlay_next(overlay, &piece)) {
        if (count_owners(merge, &piece) >= merge->min_orders) {
            MergedExtent merged = merge_piece(merge, &piece);

            g_array_append_val(pieces, merged);
        }
    }
    radix_sort_array(pieces, sequence_key);
    radix_sort_array(pieces, time_key);
    for (guint i = 0; i < pieces->len; i++) {
        page_order_append(merge->merged,
                          &g_array_index(pieces, MergedExtent, i).extent);
    }
}

static bool collect_segments(Merge *merge, GPtrArray *lists, GError **error)
{
    uint64_t n_runs = 0;

    for (size_t i = 0; i < merge->n; i++) {
        g_autofree uint32_t *map =
            order_join_blocks(merge->merged, merge->orders[i], error);

        if (map == NULL) {
            return false;
        }
        g_ptr_array_add(lists, order_segments(merge->orders[i], map));
        n_runs += merge->orders[i]->n_runs;
    }
    merge->lists = (GArray **)lists->pdata;
    merge->merged->n_runs = MIN(n_runs, UINT32_MAX);
    return true;
}

PageOrder *order_merge(const PageOrder *const *orders, size_t n,
                       size_t min_orders, GError **error)
{
    g_autoptr(PageOrder) merged = page_order_new();
    g_autoptr(GPtrArray) lists =
        g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    g_autofree WeightedTime *times = g_new(WeightedTime, n);
    Merge merge = {
        .orders = orders,
        .n = n,
        .min_orders = min_orders,
        .times = times,
        .merged = merged,
    };

    if (!collect_segments(&merge, lists, error)) {
        return NULL;
    }
    merged->origin = n == 1 ? orders[0]->origin : PAGE_ORDER_ORIGIN_LEARNED;
    merge_segments(&merge);
    if (!page_order_check(merged, error)) {
        return NULL;
    }
    return g_steal_pointer(&merged);
}
