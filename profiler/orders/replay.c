/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources: FaaSnap (EuroSys 2022) for replaying groups of pages by the time
 * of their access, each group in storage order.
 */
#include "profiler/orders/replay.h"

#include <string.h>

#include "profiler/orders/phases.h"
#include "profiler/orders/segments.h"

/* Pages of one phase this close to each other are read in one piece, the
 * pages between them too. */
#define MAX_GAP_PAGES 8

/* A span ends where so many of its pages in a row are not to be read: as many
 * as the largest piece has.  What a span has between is read along, or
 * skipped by who reads. */
#define MAX_HOLE_PAGES 256

typedef struct ReplaySpan {
    PageSpan span;
    uint32_t phase;
} ReplaySpan;

struct Replay {
    GArray *segments;   /* of PageSegment, by block and page: the phase of
                           each page, found by its extent */
    uint32_t *phase_of; /* by extent */
    GArray *spans;      /* of ReplaySpan, in the sequence of reading */
    uint32_t *next;     /* of span i: i, or a later one before which all from i
                           on have been given; spans->len: all have */
    uint32_t at;        /* the span that comes next … */
    uint64_t given;     /* … of which so many pages have been given */
};

static ReplaySpan *span_at(const Replay *replay, size_t i)
{
    return &g_array_index(replay->spans, ReplaySpan, i);
}

/* Which of blocks the order's block is; n_blocks + i, which nobody looks at,
 * if it is none of them. */
static uint32_t map_block(const PageOrder *order, uint32_t i,
                          const ReplayBlock *blocks, size_t n_blocks)
{
    const PageOrderBlock *known = page_order_block(order, i);

    for (size_t j = 0; j < n_blocks; j++) {
        if (strcmp(blocks[j].name, known->name) == 0) {
            return blocks[j].page_bytes == known->page_bytes
                       ? (uint32_t)j
                       : (uint32_t)n_blocks + i;
        }
    }
    return (uint32_t)n_blocks + i;
}

/* The order's pages that the blocks have, by block and page. */
static GArray *known_segments(const PageOrder *order, const ReplayBlock *blocks,
                              size_t n_blocks)
{
    g_autofree uint32_t *map = g_new(uint32_t, order->blocks->len + 1);
    guint kept = 0;

    for (uint32_t i = 0; i < order->blocks->len; i++) {
        map[i] = map_block(order, i, blocks, n_blocks);
    }
    GArray *segments = order_segments(order, map);
    for (guint i = 0; i < segments->len; i++) {
        PageSegment segment = *segment_at(segments, i);

        if (segment.span.block < n_blocks &&
            page_span_clip(&segment.span, blocks[segment.span.block].n_pages)) {
            g_array_index(segments, PageSegment, kept++) = segment;
        }
    }
    g_array_set_size(segments, kept);
    return segments;
}

/* The phase of each extent. */
static uint32_t *phase_of_extents(const PageOrder *order, guint *ret_n_phases)
{
    g_autoptr(GArray) phases =
        order_phases(order, ORDER_PHASE_BYTES, ORDER_PHASE_QUIET_US);
    uint32_t *phase_of = g_new(uint32_t, order->extents->len + 1);

    for (guint i = 0; i < phases->len; i++) {
        const OrderPhase *phase = &g_array_index(phases, OrderPhase, i);

        for (size_t j = 0; j < phase->n_extents; j++) {
            phase_of[phase->first_extent + j] = i;
        }
    }
    *ret_n_phases = phases->len;
    return phase_of;
}

/* The first page from page on that is to be read (or is not, with wanted
 * false), below end; else end. */
static uint64_t next_page(const uint64_t *bitmap, bool wanted, uint64_t page,
                          uint64_t end)
{
    while (page < end) {
        uint64_t word =
            (wanted ? bitmap[page / 64] : ~bitmap[page / 64]) >> (page % 64);

        if (word != 0) {
            return MIN(page + (uint64_t)__builtin_ctzll(word), end);
        }
        page = (page / 64 + 1) * 64;
    }
    return end;
}

/* Append the parts of a segment that have pages to be read. */
static void append_spans(GArray *spans, const PageSegment *segment,
                         const uint64_t *bitmap, uint32_t phase)
{
    uint64_t end = segment->span.first_page + segment->span.n_pages;
    uint64_t first = next_page(bitmap, true, segment->span.first_page, end);

    while (first < end) {
        ReplaySpan part = {
            .span = {.block = segment->span.block, .first_page = first},
            .phase = phase,
        };
        uint64_t stop;
        uint64_t next = first;

        do {
            stop = next_page(bitmap, false, next, end);
            next = next_page(bitmap, true, stop, end);
        } while (next < end && next - stop < MAX_HOLE_PAGES);
        part.span.n_pages = stop - first;
        g_array_append_val(spans, part);
        first = next;
    }
}

/* The segments as spans, in the sequence that they are in. */
static GArray *spans_of(const GArray *segments, const ReplayBlock *blocks,
                        const uint32_t *phase_of)
{
    GArray *spans =
        g_array_sized_new(FALSE, FALSE, sizeof(ReplaySpan), segments->len);

    for (guint i = 0; i < segments->len; i++) {
        const PageSegment *segment = segment_at(segments, i);
        const uint64_t *bitmap = blocks[segment->span.block].bitmap;
        const ReplaySpan whole = {
            .span = segment->span,
            .phase = phase_of[segment->extent],
        };

        if (bitmap) {
            append_spans(spans, segment, bitmap, whole.phase);
        } else {
            g_array_append_val(spans, whole);
        }
    }
    return spans;
}

/* Spans phase by phase, each in file order, which is the sequence that they
 * are in. */
static GArray *sort_by_phase(const GArray *spans, guint n_phases)
{
    GArray *sorted =
        g_array_sized_new(FALSE, FALSE, sizeof(ReplaySpan), spans->len);
    g_autofree guint *start = g_new0(guint, n_phases + 1);

    for (guint i = 0; i < spans->len; i++) {
        start[g_array_index(spans, ReplaySpan, i).phase + 1]++;
    }
    for (guint i = 0; i < n_phases; i++) {
        start[i + 1] += start[i];
    }
    g_array_set_size(sorted, spans->len);
    for (guint i = 0; i < spans->len; i++) {
        const ReplaySpan *span = &g_array_index(spans, ReplaySpan, i);

        g_array_index(sorted, ReplaySpan, start[span->phase]++) = *span;
    }
    return sorted;
}

/* Join sorted spans of one phase that lie near each other. */
static void join_neighbours(GArray *spans)
{
    guint kept = 0;

    for (guint i = 1; i < spans->len; i++) {
        ReplaySpan *last = &g_array_index(spans, ReplaySpan, kept);
        const ReplaySpan *next = &g_array_index(spans, ReplaySpan, i);
        uint64_t end = page_span_end(&last->span);

        if (next->phase == last->phase &&
            next->span.block == last->span.block &&
            next->span.first_page - end <= MAX_GAP_PAGES) {
            last->span.n_pages =
                page_span_end(&next->span) - last->span.first_page;
        } else {
            g_array_index(spans, ReplaySpan, ++kept) = *next;
        }
    }
    if (spans->len > 0) {
        g_array_set_size(spans, kept + 1);
    }
}

void replay_rewind(Replay *replay)
{
    for (guint i = 0; i <= replay->spans->len; i++) {
        replay->next[i] = i;
    }
    replay->at = 0;
    replay->given = 0;
}

Replay *replay_new(const PageOrder *order, const ReplayBlock *blocks,
                   size_t n_blocks)
{
    Replay *replay = g_new0(Replay, 1);
    guint n_phases;

    replay->segments = known_segments(order, blocks, n_blocks);
    replay->phase_of = phase_of_extents(order, &n_phases);
    g_autoptr(GArray) spans =
        spans_of(replay->segments, blocks, replay->phase_of);
    replay->spans = sort_by_phase(spans, n_phases);
    join_neighbours(replay->spans);
    replay->next = g_new(uint32_t, replay->spans->len + 1);
    replay_rewind(replay);
    return replay;
}

void replay_free(Replay *replay)
{
    if (replay) {
        g_array_unref(replay->segments);
        g_free(replay->phase_of);
        g_array_unref(replay->spans);
        g_free(replay->next);
        g_free(replay);
    }
}

/* The first span from i on that has not been given to its end; shortens the
 * way for the next who asks. */
static uint32_t next_not_given(Replay *replay, uint32_t i)
{
    while (replay->next[i] != i) {
        replay->next[i] = replay->next[replay->next[i]];
        i = replay->next[i];
    }
    return i;
}

static void go_to(Replay *replay, uint32_t at)
{
    if (at != replay->at) {
        replay->at = at;
        replay->given = 0;
    }
}

bool replay_next(Replay *replay, uint64_t max_pages, PageSpan *ret_span)
{
    go_to(replay, next_not_given(replay, replay->at));
    if (replay->at == replay->spans->len) {
        /* What was skipped comes after the last one. */
        go_to(replay, next_not_given(replay, 0));
    }
    if (replay->at == replay->spans->len) {
        return false;
    }
    const PageSpan *whole = &span_at(replay, replay->at)->span;
    ret_span->block = whole->block;
    ret_span->first_page = whole->first_page + replay->given;
    ret_span->n_pages = MIN(whole->n_pages - replay->given, max_pages);
    replay->given += ret_span->n_pages;
    if (replay->given == whole->n_pages) {
        replay->next[replay->at] = replay->at + 1;
        go_to(replay, replay->at + 1);
    }
    return true;
}

void replay_mark_pages(const Replay *replay, size_t block, uint64_t *bitmap)
{
    for (guint i = 0; i < replay->segments->len; i++) {
        const PageSegment *segment = segment_at(replay->segments, i);
        uint64_t end = segment->span.first_page + segment->span.n_pages;
        uint64_t page = segment->span.first_page;

        while (segment->span.block == block && page < end) {
            uint64_t word_end = MIN((page / 64 + 1) * 64, end);
            uint64_t n = word_end - page;

            bitmap[page / 64] |= (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1)
                                 << (page % 64);
            page = word_end;
        }
    }
}

/* The phase that has page; false: none. */
static bool find_phase(const Replay *replay, size_t block, uint64_t page,
                       uint32_t *ret_phase)
{
    guint low = 0;
    guint high = replay->segments->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;
        const PageSegment *pages = segment_at(replay->segments, middle);

        if (pages->span.block < block ||
            (pages->span.block == block &&
             page_span_end(&pages->span) <= page)) {
            low = middle + 1;
        } else if (pages->span.block > block || pages->span.first_page > page) {
            high = middle;
        } else {
            *ret_phase = replay->phase_of[pages->extent];
            return true;
        }
    }
    return false;
}

/* The index of the phase's first span. */
static uint32_t phase_start(const Replay *replay, uint32_t phase)
{
    uint32_t low = 0;
    uint32_t high = replay->spans->len;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

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
    uint32_t start = phase_start(replay, phase);
    if (start > replay->at) {
        go_to(replay, start);
    }
    return true;
}
