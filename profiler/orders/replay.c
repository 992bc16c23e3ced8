/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources: FaaSnap (EuroSys 2022) for replaying groups of pages by the time
 * of their access, each group in storage order.
 */
#include "profiler/orders/replay.h"

#include <string.h>

#include "profiler/orders/page-cover.h"
#include "profiler/orders/phases.h"
#include "profiler/orders/radix-sort.h"

/* Pages of one phase this close to each other are read in one piece, the
 * pages between them too. */
#define MAX_GAP_PAGES 8

/* A span ends where so many of its pages in a row are not to be read: as many
 * as the largest piece has.  What a span has between is read along, or
 * skipped by who reads. */
#define MAX_HOLE_PAGES 256

/* So many phases are looked through for a page, while a lock is held: those of
 * 32 GiB, or of more than a minute. */
#define MAX_PHASES 4095

typedef struct ReplaySpan {
    PageSpan span;
    uint32_t phase;
} ReplaySpan;

struct Replay {
    GArray *runs;   /* of ReplaySpan, by phase, block and page: each of the
                       order's pages once, whether it is to be read or not */
    GArray *phases; /* of guint: where in runs each begins; and the end */
    GArray *spans;  /* of ReplaySpan, in the sequence of reading */
    uint32_t *next; /* of span i: i, or a later one before which all from i
                       on have been given; spans->len: all have */
    uint32_t at;    /* the span that comes next … */
    uint64_t given; /* … of which so many pages have been given */
};

static ReplaySpan *span_of(const GArray *spans, size_t i)
{
    return &g_array_index(spans, ReplaySpan, i);
}

static ReplaySpan *span_at(const Replay *replay, size_t i)
{
    return span_of(replay->spans, i);
}

static uint64_t block_key(const void *span)
{
    return ((const ReplaySpan *)span)->span.block;
}

static uint64_t page_key(const void *span)
{
    return ((const ReplaySpan *)span)->span.first_page;
}

static void sort_by_address(ReplaySpan *spans, size_t n)
{
    radix_sort(spans, n, sizeof(*spans), page_key);
    radix_sort(spans, n, sizeof(*spans), block_key);
}

/* ---- making one ---- */

/* Which of blocks the order's block is; n_blocks if it is none of them. */
static size_t map_block(const PageOrder *order, uint32_t i,
                        const ReplayBlock *blocks, size_t n_blocks)
{
    const PageOrderBlock *known = page_order_block(order, i);

    for (size_t j = 0; j < n_blocks; j++) {
        if (strcmp(blocks[j].name, known->name) == 0) {
            return blocks[j].page_bytes == known->page_bytes ? j : n_blocks;
        }
    }
    return n_blocks;
}

/* Where runs are collected. */
typedef struct Collector {
    GArray *runs;
    const ReplayBlock *blocks;
    size_t n_blocks;
    size_t *map;        /* of the order's blocks to these */
    PageCover **covers; /* of these blocks: the pages that runs have; NULL: none
                           yet */
} Collector;

/* Append what no extent before has. */
static void collect_extent(Collector *collector, const PageExtent *extent,
                           uint32_t phase)
{
    size_t block = collector->map[extent->span.block];
    PageSpan span = extent->span;
    ReplaySpan run = {.span.block = block, .phase = phase};

    if (block == collector->n_blocks ||
        !page_span_clip(&span, collector->blocks[block].n_pages)) {
        return;
    }
    if (!collector->covers[block]) {
        collector->covers[block] =
            page_cover_new(collector->blocks[block].n_pages);
    }
    for (uint64_t end = page_span_end(&span); page_cover_take(
             collector->covers[block], span.first_page, end, &run.span);
         span.first_page = page_span_end(&run.span)) {
        g_array_append_val(collector->runs, run);
    }
}

/* The order's pages that the blocks have, phase by phase. */
static GArray *runs_of(const PageOrder *order, const ReplayBlock *blocks,
                       size_t n_blocks)
{
    g_autoptr(GArray) phases =
        order_phases(order, ORDER_PHASE_BYTES, ORDER_PHASE_QUIET_US);
    g_autofree size_t *map = g_new(size_t, order->blocks->len + 1);
    g_autofree PageCover **covers = g_new0(PageCover *, n_blocks + 1);
    Collector collector = {
        .runs = g_array_sized_new(FALSE, FALSE, sizeof(ReplaySpan),
                                  order->extents->len),
        .blocks = blocks,
        .n_blocks = n_blocks,
        .map = map,
        .covers = covers,
    };

    for (uint32_t i = 0; i < order->blocks->len; i++) {
        map[i] = map_block(order, i, blocks, n_blocks);
    }
    for (guint i = 0; i < phases->len; i++) {
        const OrderPhase *phase = &g_array_index(phases, OrderPhase, i);

        for (size_t j = 0; j < phase->n_extents; j++) {
            collect_extent(&collector,
                           page_order_extent(order, phase->first_extent + j),
                           i);
        }
    }
    for (size_t i = 0; i < n_blocks; i++) {
        page_cover_free(covers[i]);
    }
    return collector.runs;
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

/* Append the parts of a run that have pages to be read. */
static void append_spans(GArray *spans, const ReplaySpan *run,
                         const uint64_t *bitmap)
{
    uint64_t end = page_span_end(&run->span);
    uint64_t first = next_page(bitmap, true, run->span.first_page, end);
    ReplaySpan part = *run;

    while (first < end) {
        uint64_t stop;
        uint64_t next = first;

        do {
            stop = next_page(bitmap, false, next, end);
            next = next_page(bitmap, true, stop, end);
        } while (next < end && next - stop < MAX_HOLE_PAGES);
        part.span.first_page = first;
        part.span.n_pages = stop - first;
        g_array_append_val(spans, part);
        first = next;
    }
}

/* What is to be read of the runs, in their sequence. */
static GArray *spans_of(const GArray *runs, const ReplayBlock *blocks)
{
    GArray *spans =
        g_array_sized_new(FALSE, FALSE, sizeof(ReplaySpan), runs->len);

    for (guint i = 0; i < runs->len; i++) {
        const ReplaySpan *run = span_of(runs, i);
        const uint64_t *bitmap = blocks[run->span.block].bitmap;

        if (bitmap) {
            append_spans(spans, run, bitmap);
        } else {
            g_array_append_val(spans, *run);
        }
    }
    return spans;
}

/* Sort the runs of each phase by file order.  Returns where each begins, and
 * the end. */
static GArray *sort_phases(GArray *runs)
{
    GArray *phases = g_array_new(FALSE, FALSE, sizeof(guint));
    guint first = 0;

    for (guint i = 1; i <= runs->len; i++) {
        if (i == runs->len ||
            span_of(runs, i)->phase != span_of(runs, first)->phase) {
            sort_by_address(span_of(runs, first), i - first);
            g_array_append_val(phases, first);
            first = i;
        }
    }
    g_array_append_val(phases, first);
    return phases;
}

/* Join sorted spans of one phase that lie near each other. */
static void join_neighbours(GArray *spans)
{
    guint kept = 0;

    for (guint i = 1; i < spans->len; i++) {
        ReplaySpan *last = span_of(spans, kept);
        const ReplaySpan *next = span_of(spans, i);
        uint64_t end = page_span_end(&last->span);

        if (next->phase == last->phase &&
            next->span.block == last->span.block &&
            next->span.first_page - end <= MAX_GAP_PAGES) {
            last->span.n_pages =
                page_span_end(&next->span) - last->span.first_page;
        } else {
            *span_of(spans, ++kept) = *next;
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

    replay->runs = runs_of(order, blocks, n_blocks);
    replay->phases = sort_phases(replay->runs);
    replay->spans = spans_of(replay->runs, blocks);
    join_neighbours(replay->spans);
    replay->next = g_new(uint32_t, replay->spans->len + 1);
    replay_rewind(replay);
    return replay;
}

void replay_free(Replay *replay)
{
    if (replay) {
        g_array_unref(replay->runs);
        g_array_unref(replay->phases);
        g_array_unref(replay->spans);
        g_free(replay->next);
        g_free(replay);
    }
}

/* ---- asking it ---- */

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
    for (guint i = 0; i < replay->runs->len; i++) {
        const PageSpan *span = &span_of(replay->runs, i)->span;
        uint64_t end = page_span_end(span);
        uint64_t page = span->first_page;

        while (span->block == block && page < end) {
            uint64_t word_end = MIN((page / 64 + 1) * 64, end);
            uint64_t n = word_end - page;

            bitmap[page / 64] |= (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1)
                                 << (page % 64);
            page = word_end;
        }
    }
}

/* Whether page is in one of these runs of a phase, from low on, before high. */
static bool has_page(const Replay *replay, guint low, guint high, size_t block,
                     uint64_t page)
{
    while (low < high) {
        guint middle = low + (high - low) / 2;
        const ReplaySpan *run = span_of(replay->runs, middle);

        if (run->span.block < block ||
            (run->span.block == block && page_span_end(&run->span) <= page)) {
            low = middle + 1;
        } else if (run->span.block > block || run->span.first_page > page) {
            high = middle;
        } else {
            return true;
        }
    }
    return false;
}

/* The phase that has page; false: none. */
static bool find_phase(const Replay *replay, size_t block, uint64_t page,
                       uint32_t *ret_phase)
{
    guint n_phases = MIN(replay->phases->len - 1, MAX_PHASES);

    for (guint i = 0; i < n_phases; i++) {
        guint first = g_array_index(replay->phases, guint, i);
        guint end = g_array_index(replay->phases, guint, i + 1);

        if (has_page(replay, first, end, block, page)) {
            *ret_phase = span_of(replay->runs, first)->phase;
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
