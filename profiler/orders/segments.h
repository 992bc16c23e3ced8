/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pages of an order as disjoint stretches in address order: what the
 * operations on orders work on, at a cost that grows with the number of
 * extents and not of pages.
 */
#pragma once

#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"

typedef struct PageSegment {
    PageSpan span;   /* not empty */
    uint32_t extent; /* index of the first extent that has these pages */
} PageSegment;

/*
 * Each page of a valid order exactly once: a GArray of PageSegment, disjoint,
 * by block and page.  If block_map is not NULL, block i of the order becomes
 * block block_map[i].
 */
GArray *order_segments(const PageOrder *order, const uint32_t *block_map);

static inline const PageSegment *segment_at(const GArray *segments, size_t i)
{
    return &g_array_index(segments, PageSegment, i);
}

/* Sort by the sequence of the order instead: by extent, then page. */
void segments_sort_by_sequence(GArray *segments);

/* a + b, or UINT64_MAX: sums over blocks that a file only claims to have. */
static inline uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* How many pages there are in all. */
uint64_t segments_n_pages(const GArray *segments);

/* The part of its extent that segment is. */
PageExtent segment_to_extent(const PageSegment *segment,
                             const PageOrder *order);
