/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources: FaaSnap (EuroSys 2022) for replaying groups of pages by the time
 * of their access, each group in storage order.
 */
#include "plugin/replay.h"

#include "profiler/phases.h"
#include "profiler/segments.h"

/* Pages of one phase this close to each other are read in one piece, the
 * pages between them too. */
#define MAX_GAP_PAGES 8

typedef struct ReplaySpan {
    PageSpan pages;
    uint64_t off_bytes; /* in the file */
    uint32_t phase;
} ReplaySpan;

struct Replay {
    GArray *spans;   /* of ReplaySpan, in the sequence of reading */
    GArray *by_page; /* of ReplaySpan, by block and page: not joined, so that
                        each page is there once, with its own phase */
    size_t at;       /* the span that comes next … */
    uint64_t given;  /* … of which so many pages have been given */
    bool skipped;    /* steered past something since the pass began */
};

static ReplaySpan *span_at(const Replay *replay, size_t i)
{
    return &g_array_index(replay->spans, ReplaySpan, i);
}

static const ReplaySpan *page_span_at(const Replay *replay, size_t i)
{
    return &g_array_index(replay->by_page, ReplaySpan, i);
}

static gint compare_reading(gconstpointer a, gconstpointer b)
{
    const ReplaySpan *x = a;
    const ReplaySpan *y = b;

    if (x->phase != y->phase) {
        return x->phase < y->phase ? -1 : 1;
    }
    return (x->off_bytes > y->off_bytes) - (x->off_bytes < y->off_bytes);
}

/* The phase of each extent. */
static uint32_t *phase_of_extents(const PageOrder *order)
{
    g_autoptr(GArray) phases =
        order_phases(order, ORDER_PHASE_BYTES, ORDER_PHASE_QUIET_US);
    uint32_t *phase_of = g_new0(uint32_t, order->extents->len + 1);

    for (guint i = 0; i < phases->len; i++) {
        const OrderPhase *phase = &g_array_index(phases, OrderPhase, i);

        for (size_t j = 0; j < phase->n_extents; j++) {
            phase_of[phase->first_extent + j] = i;
        }
    }
    return phase_of;
}

/* The part of segment that the snapshot has, as a span; false: none. */
static bool to_span(const PageSegment *segment, const PageOrder *order,
                    const Snapshot *snapshot, ReplaySpan *ret_span)
{
    const PageOrderBlock *known = page_order_block(order, segment->block);
    const SnapshotBlock *block = snapshot_find_block(snapshot, known->name);

    if (!block || block->page_bytes != known->page_bytes ||
        segment->first_page >= block->n_pages) {
        return false;
    }
    ret_span->pages.block = (size_t)(block - snapshot->blocks);
    ret_span->pages.first_page = segment->first_page;
    ret_span->pages.n_pages =
        MIN(segment->n_pages, block->n_pages - segment->first_page);
    ret_span->off_bytes =
        block->pages_off_bytes + segment->first_page * block->page_bytes;
    return true;
}

static GArray *collect_spans(const PageOrder *order, const Snapshot *snapshot)
{
    g_autoptr(GArray) segments = order_segments(order, NULL);
    g_autofree uint32_t *phase_of = phase_of_extents(order);
    GArray *spans = g_array_new(FALSE, FALSE, sizeof(ReplaySpan));

    for (guint i = 0; i < segments->len; i++) {
        const PageSegment *segment = segment_at(segments, i);
        ReplaySpan span;

        if (to_span(segment, order, snapshot, &span)) {
            span.phase = phase_of[segment->extent];
            g_array_append_val(spans, span);
        }
    }
    return spans;
}

/* Join sorted spans of one phase that lie near each other. */
static void join_neighbours(GArray *spans)
{
    guint kept = 0;

    for (guint i = 1; i < spans->len; i++) {
        ReplaySpan *last = &g_array_index(spans, ReplaySpan, kept);
        const ReplaySpan *span = &g_array_index(spans, ReplaySpan, i);
        uint64_t end = last->pages.first_page + last->pages.n_pages;

        if (span->phase == last->phase &&
            span->pages.block == last->pages.block &&
            span->pages.first_page - end <= MAX_GAP_PAGES) {
            last->pages.n_pages = span->pages.first_page +
                                  span->pages.n_pages -
                                  last->pages.first_page;
        } else {
            g_array_index(spans, ReplaySpan, ++kept) = *span;
        }
    }
    if (spans->len > 0) {
        g_array_set_size(spans, kept + 1);
    }
}

static gint compare_by_page(gconstpointer a, gconstpointer b)
{
    const PageSpan *x = &((const ReplaySpan *)a)->pages;
    const PageSpan *y = &((const ReplaySpan *)b)->pages;

    if (x->block != y->block) {
        return x->block < y->block ? -1 : 1;
    }
    return (x->first_page > y->first_page) - (x->first_page < y->first_page);
}

Replay *replay_new(const PageOrder *order, const Snapshot *snapshot)
{
    Replay *replay = g_new0(Replay, 1);

    replay->spans = collect_spans(order, snapshot);
    replay->by_page = g_array_copy(replay->spans);
    g_array_sort(replay->by_page, compare_by_page);
    g_array_sort(replay->spans, compare_reading);
    join_neighbours(replay->spans);
    return replay;
}

void replay_free(Replay *replay)
{
    if (replay) {
        g_array_unref(replay->spans);
        g_array_unref(replay->by_page);
        g_free(replay);
    }
}

bool replay_next(Replay *replay, uint64_t max_pages, PageSpan *ret_span)
{
    if (replay->at == replay->spans->len && replay->skipped) {
        replay->at = 0;
        replay->given = 0;
        replay->skipped = false;
    }
    if (replay->at == replay->spans->len) {
        return false;
    }
    const PageSpan *span = &span_at(replay, replay->at)->pages;
    ret_span->block = span->block;
    ret_span->first_page = span->first_page + replay->given;
    ret_span->n_pages = MIN(span->n_pages - replay->given, max_pages);
    replay->given += ret_span->n_pages;
    if (replay->given == span->n_pages) {
        replay->at++;
        replay->given = 0;
    }
    return true;
}

/* The phase that has page; false: none. */
static bool find_phase(const Replay *replay, size_t block, uint64_t page,
                       uint32_t *ret_phase)
{
    guint low = 0;
    guint high = replay->by_page->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;
        const ReplaySpan *span = page_span_at(replay, middle);
        const PageSpan *pages = &span->pages;

        if (pages->block < block ||
            (pages->block == block &&
             pages->first_page + pages->n_pages <= page)) {
            low = middle + 1;
        } else if (pages->block > block || pages->first_page > page) {
            high = middle;
        } else {
            *ret_phase = span->phase;
            return true;
        }
    }
    return false;
}

/* The index of the phase's first span. */
static size_t phase_start(const Replay *replay, uint32_t phase)
{
    size_t low = 0;
    size_t high = replay->spans->len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (span_at(replay, middle)->phase < phase) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool replay_steer(Replay *replay, size_t block, uint64_t page)
{
    uint32_t phase;

    if (!find_phase(replay, block, page, &phase)) {
        return false;
    }
    size_t start = phase_start(replay, phase);
    if (start > replay->at) {
        replay->at = start;
        replay->given = 0;
        replay->skipped = true;
    }
    return true;
}
