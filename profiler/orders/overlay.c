/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/overlay.h"

struct Overlay {
    GArray *const *lists;
    size_t n;
    size_t *cursors;            /* first segment not yet gone through */
    const PageSegment **owners; /* of the last piece */
    size_t block;               /* where the last piece ended */
    uint64_t page;
};

Overlay *overlay_new(GArray *const *lists, size_t n)
{
    Overlay *overlay = g_new0(Overlay, 1);

    overlay->lists = lists;
    overlay->n = n;
    overlay->cursors = g_new0(size_t, n);
    overlay->owners = g_new0(const PageSegment *, n);
    return overlay;
}

void overlay_free(Overlay *overlay)
{
    if (overlay == NULL) {
        return;
    }
    g_free(overlay->cursors);
    g_free(overlay->owners);
    g_free(overlay);
}

/* The segment of list i that ends behind the current place, or NULL. */
static const PageSegment *current(Overlay *overlay, size_t i)
{
    const GArray *list = overlay->lists[i];

    for (; overlay->cursors[i] < list->len; overlay->cursors[i]++) {
        const PageSegment *segment = segment_at(list, overlay->cursors[i]);

        if (segment->span.block > overlay->block ||
            (segment->span.block == overlay->block &&
             page_span_end(&segment->span) > overlay->page)) {
            return segment;
        }
    }
    return NULL;
}

/* Go on to the first page from the current place on that is in any list. */
static bool go_to_next_page(Overlay *overlay)
{
    bool found = false;
    size_t block = 0;
    uint64_t page = 0;

    for (size_t i = 0; i < overlay->n; i++) {
        const PageSegment *segment = current(overlay, i);
        uint64_t start;

        if (segment == NULL) {
            continue;
        }
        start = segment->span.block == overlay->block
                    ? MAX(segment->span.first_page, overlay->page)
                    : segment->span.first_page;
        if (!found || segment->span.block < block ||
            (segment->span.block == block && start < page)) {
            found = true;
            block = segment->span.block;
            page = start;
        }
    }
    overlay->block = block;
    overlay->page = page;
    return found;
}

bool overlay_next(Overlay *overlay, OverlayPiece *ret_piece)
{
    uint64_t end_page = UINT64_MAX;

    if (!go_to_next_page(overlay)) {
        return false;
    }
    for (size_t i = 0; i < overlay->n; i++) {
        const PageSegment *segment = current(overlay, i);

        overlay->owners[i] = NULL;
        if (segment == NULL || segment->span.block != overlay->block) {
            continue;
        }
        if (segment->span.first_page > overlay->page) {
            end_page = MIN(end_page, segment->span.first_page);
            continue;
        }
        overlay->owners[i] = segment;
        end_page = MIN(end_page, page_span_end(&segment->span));
    }
    *ret_piece = (OverlayPiece){
        .span = {overlay->block, overlay->page, end_page - overlay->page},
        .owners = overlay->owners,
    };
    overlay->page = end_page;
    return true;
}

void overlay_append_part(const OverlayPiece *piece, size_t i, GArray *segments)
{
    PageSegment part = *piece->owners[i];

    part.span = piece->span;
    g_array_append_val(segments, part);
}
