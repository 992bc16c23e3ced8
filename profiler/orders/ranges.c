/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/ranges.h"

#include "profiler/orders/error.h"
#include "profiler/orders/normalise.h"
#include "profiler/orders/overlay.h"
#include "profiler/orders/segments.h"

bool order_span_of_bytes(const PageOrder *order, uint32_t i, uint64_t off_bytes,
                         uint64_t len_bytes, PageSpan *ret_span, GError **error)
{
    const PageOrderBlock *block = page_order_block(order, i);
    uint64_t first_page;
    uint64_t last_page;

    if (off_bytes >= block->len_bytes ||
        len_bytes > block->len_bytes - off_bytes) {
        g_set_error(error, PROFILER_ERROR, PROFILER_ERROR_RANGE,
                    "RAM block \"%s\" ends at 0x%" G_GINT64_MODIFIER
                    "x: it has no %" G_GUINT64_FORMAT
                    " bytes from 0x%" G_GINT64_MODIFIER "x on",
                    block->name, block->len_bytes, len_bytes, off_bytes);
        return false;
    }
    last_page = (off_bytes + len_bytes - 1) / block->page_bytes;
    first_page = off_bytes / block->page_bytes;
    *ret_span = (PageSpan){i, first_page, last_page - first_page + 1};
    return true;
}

/* The ranges as extents of time 0. */
static PageOrder *order_of_ranges(const PageOrder *order, const GArray *ranges)
{
    PageOrder *pinned = page_order_new_like(order);

    for (guint i = 0; i < ranges->len; i++) {
        PageExtent extent = {.span = g_array_index(ranges, PageSpan, i)};

        page_order_append(pinned, &extent);
    }
    return pinned;
}

PageOrder *order_drop(const PageOrder *order, const GArray *ranges)
{
    g_autoptr(PageOrder) dropped = order_of_ranges(order, ranges);
    g_autoptr(GArray) in_order = order_segments(order, NULL);
    g_autoptr(GArray) in_ranges = order_segments(dropped, NULL);
    g_autoptr(GArray) kept = g_array_new(FALSE, FALSE, sizeof(PageSegment));
    GArray *const lists[] = {in_order, in_ranges};
    g_autoptr(Overlay) overlay = overlay_new(lists, G_N_ELEMENTS(lists));
    OverlayPiece piece;

    while (overlay_next(overlay, &piece)) {
        if (piece.owners[0] != NULL && piece.owners[1] == NULL) {
            overlay_append_part(&piece, 0, kept);
        }
    }
    return order_of_segments(order, kept);
}

PageOrder *order_pin(const PageOrder *order, const GArray *ranges)
{
    g_autoptr(PageOrder) pinned = order_of_ranges(order, ranges);

    for (guint i = 0; i < order->extents->len; i++) {
        g_array_append_val(pinned->extents, *page_order_extent(order, i));
    }
    return order_normalise(pinned);
}
