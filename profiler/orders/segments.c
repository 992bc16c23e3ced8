/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A sweep over the extents by address.  Those that reach beyond the current
 * page wait in a heap whose top is the first of them in the order: the page
 * belongs to that one.
 */
#include "profiler/orders/segments.h"

#include "profiler/orders/radix-sort.h"

/* Whole extents, by address: what is swept over. */
typedef struct Sweep {
    const GArray *starts; /* of PageSegment */
    GArray *heap;         /* of size_t: indices into starts */
    GArray *segments;     /* the result */
} Sweep;

static uint64_t block_key(const void *segment)
{
    return ((const PageSegment *)segment)->span.block;
}

static uint64_t page_key(const void *segment)
{
    return ((const PageSegment *)segment)->span.first_page;
}

static uint64_t extent_key(const void *segment)
{
    return ((const PageSegment *)segment)->extent;
}

void segments_sort_by_sequence(GArray *segments)
{
    radix_sort_array(segments, page_key);
    radix_sort_array(segments, extent_key);
}

static GArray *extents_by_address(const PageOrder *order,
                                  const uint32_t *block_map)
{
    guint n = order->extents->len;
    GArray *starts = g_array_sized_new(FALSE, FALSE, sizeof(PageSegment), n);

    for (guint i = 0; i < n; i++) {
        const PageExtent *extent = page_order_extent(order, i);
        PageSegment start = {
            .span = extent->span,
            .extent = i,
        };

        if (block_map) {
            start.span.block = block_map[extent->span.block];
        }
        g_array_append_val(starts, start);
    }
    radix_sort_array(starts, page_key);
    radix_sort_array(starts, block_key);
    return starts;
}

static const PageSegment *heap_at(const Sweep *sweep, size_t i)
{
    return segment_at(sweep->starts, g_array_index(sweep->heap, size_t, i));
}

static bool heap_before(const Sweep *sweep, size_t i, size_t j)
{
    return heap_at(sweep, i)->extent < heap_at(sweep, j)->extent;
}

static void heap_swap(Sweep *sweep, size_t i, size_t j)
{
    size_t *slots = (size_t *)sweep->heap->data;
    size_t slot = slots[i];

    slots[i] = slots[j];
    slots[j] = slot;
}

static void heap_push(Sweep *sweep, size_t start)
{
    size_t i = sweep->heap->len;

    g_array_append_val(sweep->heap, start);
    while (i > 0 && heap_before(sweep, i, (i - 1) / 2)) {
        heap_swap(sweep, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static void heap_pop(Sweep *sweep)
{
    size_t n = sweep->heap->len - 1;
    size_t i = 0;

    heap_swap(sweep, 0, n);
    g_array_set_size(sweep->heap, n);
    while (2 * i + 1 < n) {
        size_t child = 2 * i + 1;

        if (child + 1 < n && heap_before(sweep, child + 1, child)) {
            child++;
        }
        if (!heap_before(sweep, child, i)) {
            break;
        }
        heap_swap(sweep, i, child);
        i = child;
    }
}

/* The extent that page belongs to, or NULL. */
static const PageSegment *heap_owner(Sweep *sweep, uint64_t page)
{
    while (sweep->heap->len > 0) {
        const PageSegment *owner = heap_at(sweep, 0);

        if (page_span_end(&owner->span) > page) {
            return owner;
        }
        heap_pop(sweep);
    }
    return NULL;
}

static void emit(Sweep *sweep, const PageSegment *owner, uint64_t first_page,
                 uint64_t end_page)
{
    PageSegment segment = *owner;
    GArray *segments = sweep->segments;

    if (segments->len > 0) {
        PageSegment *last =
            &g_array_index(segments, PageSegment, segments->len - 1);

        if (last->extent == owner->extent &&
            page_span_end(&last->span) == first_page) {
            last->span.n_pages += end_page - first_page;
            return;
        }
    }
    segment.span.first_page = first_page;
    segment.span.n_pages = end_page - first_page;
    g_array_append_val(segments, segment);
}

/* Hand out the pages from page on, up to end_page, to the extents in the
 * heap; those that all of them leave out are in no segment. */
static void hand_out(Sweep *sweep, uint64_t page, uint64_t end_page)
{
    const PageSegment *owner;

    while (page < end_page && (owner = heap_owner(sweep, page)) != NULL) {
        uint64_t end = MIN(page_span_end(&owner->span), end_page);

        emit(sweep, owner, page, end);
        page = end;
    }
}

GArray *order_segments(const PageOrder *order, const uint32_t *block_map)
{
    g_autoptr(GArray) starts = extents_by_address(order, block_map);
    g_autoptr(GArray) heap = g_array_new(FALSE, FALSE, sizeof(size_t));
    Sweep sweep = {
        .starts = starts,
        .heap = heap,
        .segments =
            g_array_sized_new(FALSE, FALSE, sizeof(PageSegment), starts->len),
    };

    for (size_t i = 0; i < starts->len; i++) {
        const PageSegment *start = segment_at(starts, i);
        const PageSegment *next =
            i + 1 < starts->len ? segment_at(starts, i + 1) : NULL;
        uint64_t end_page = UINT64_MAX;

        heap_push(&sweep, i);
        if (next != NULL && next->span.block == start->span.block) {
            end_page = next->span.first_page;
        }
        hand_out(&sweep, start->span.first_page, end_page);
        if (end_page == UINT64_MAX) {
            g_array_set_size(heap, 0);
        }
    }
    return sweep.segments;
}

uint64_t segments_n_pages(const GArray *segments)
{
    uint64_t n_pages = 0;

    for (guint i = 0; i < segments->len; i++) {
        n_pages = add_saturated(n_pages, segment_at(segments, i)->span.n_pages);
    }
    return n_pages;
}

PageExtent segment_to_extent(const PageSegment *segment, const PageOrder *order)
{
    PageExtent extent = *page_order_extent(order, segment->extent);

    extent.span.first_page = segment->span.first_page;
    extent.span.n_pages = segment->span.n_pages;
    return extent;
}
