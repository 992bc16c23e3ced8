/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/normalise.h"

#include "profiler/orders/segments.h"

PageOrder *order_of_segments(const PageOrder *order, GArray *segments)
{
    PageOrder *part = page_order_new_like(order);

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
