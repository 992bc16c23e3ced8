/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/normalise.h"

#include "profiler/segments.h"

PageOrder *order_new_like(const PageOrder *order)
{
    PageOrder *like = page_order_new();

    for (guint i = 0; i < order->blocks->len; i++) {
        const PageOrderBlock *block = page_order_block(order, i);

        page_order_add_block(like, block->name, block->len_bytes,
                             block->page_bytes);
    }
    like->identity = g_strdup(order->identity);
    like->origin = order->origin;
    like->n_runs = order->n_runs;
    return like;
}

PageOrder *order_of_segments(const PageOrder *order, GArray *segments)
{
    PageOrder *part = order_new_like(order);

    segments_sort_by_sequence(segments);
    for (guint i = 0; i < segments->len; i++) {
        PageExtent extent = segment_to_extent(segment_at(segments, i), order);

        page_order_append(part, &extent);
    }
    return part;
}

PageOrder *order_normalise(const PageOrder *order)
{
    g_autoptr(GArray) segments = order_segments(order, NULL);

    return order_of_segments(order, segments);
}
