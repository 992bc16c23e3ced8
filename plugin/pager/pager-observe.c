/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Learning from a load that reads ahead.  Demand faults show which pages the
 * order lacked.  Which of its pages nobody needs any more does not show: a page
 * that was placed ahead causes no fault.  So a few stretches
 * of the order, different ones each time, are held back: claimed, but neither
 * read nor placed, until somebody touches them (the fault thread then serves
 * them as it does any page in flight) or the learning ends.
 */
#include "plugin/pager/pager-observe.h"

#include "plugin/pager/pager-state.h"
#include "plugin/pager/pager-units.h"
#include "util/clock.h"
#include "profiler/orders/segments.h"

/* Pages are held back in pieces of at most so many. */
#define PIECE_PAGES 16

/* One piece in how many is held back. */
#define HOLD_ONE_IN 8

static void hold_piece(Pager *pager, const PageSpan *span)
{
    /* Without a buffer: it is not read before it is to be placed. */
    Piece *piece = piece_new(0);

    if (piece_claim(piece, &pager->blocks[span->block].states, span,
                    PLACED_BY_REST)) {
        g_queue_push_tail(&pager->held, piece);
    } else {
        piece_free(piece);
    }
}

static void hold_some_of(Pager *pager, GRand *draw, const PageSpan *span)
{
    for (uint64_t done = 0; done < span->n_pages; done += PIECE_PAGES) {
        if (g_rand_int_range(draw, 0, HOLD_ONE_IN) == 0) {
            const PageSpan part = {span->block, span->first_page + done,
                                   MIN(PIECE_PAGES, span->n_pages - done)};

            hold_piece(pager, &part);
        }
    }
}

void pager_hold_back(Pager *pager, const PageOrder *order)
{
    const PageSource *source = pager->config.source;
    g_autoptr(GArray) segments = order_segments(order, NULL);
    GRand *draw = g_rand_new();

    for (guint i = 0; i < segments->len; i++) {
        PageSpan span = segment_at(segments, i)->span;
        const PageOrderBlock *known = page_order_block(order, span.block);
        const PageSourceBlock *block =
            page_source_find_block(source, known->name);

        /* No piece has room for larger pages, which cannot be attached. */
        if (block && block->page_bytes == known->page_bytes &&
            block->page_bytes == pager->page_bytes &&
            page_span_clip(&span, block->n_pages)) {
            span.block = (size_t)(block - source->blocks);
            hold_some_of(pager, draw, &span);
        }
    }
    g_rand_free(draw);
}

static void note_untouched(Pager *pager, const Piece *piece,
                           uint64_t *n_held_back, uint64_t *n_untouched)
{
    const PageSpan *span = &piece->read.span;
    const PageStates *states = &pager->blocks[span->block].states;

    for (uint64_t i = 0; i < span->n_pages; i++) {
        uint64_t page = span->first_page + i;

        if (!page_window_has(&piece->window, page)) {
            continue;
        }
        ++*n_held_back;
        if (page_states_is_owed(states, page)) {
            ++*n_untouched;
            recorder_note(pager->config.observe.untouched,
                          (uint32_t)span->block, page, PAGE_ACCESS_UNKNOWN, 0);
        }
    }
}

/* Note which of the pages that were held back nobody has touched. */
static void note_all_untouched(Pager *pager)
{
    uint64_t n_held_back = 0;
    uint64_t n_untouched = 0;

    for (GList *link = pager->held.head; link; link = link->next) {
        const Piece *piece = link->data;

        if (pager->blocks[piece->read.span.block].host != 0) {
            note_untouched(pager, piece, &n_held_back, &n_untouched);
        }
    }
    load_stats_learned(pager->config.stats, n_held_back, n_untouched);
}

static ObservationState observation(const Pager *pager)
{
    /* Acquire: with what the callback has done. */
    return atomic_load_explicit(&pager->observation, memory_order_acquire);
}

/* Of a unit the first touch is known, and so it is one of all its pages. */
static void note_pages(Pager *pager, size_t block, uint64_t page,
                       PageAccess access, uint64_t now_us)
{
    const PageSourceBlock *layout = &pager->config.source->blocks[block];
    const PageSpan one = {block, page, 1};
    PageSpan span = pager_units_to_pages(pager, &one);

    for (uint64_t i = 0; i < span.n_pages; i++) {
        if (page_source_block_has_page(layout, span.first_page + i)) {
            recorder_note(pager->config.observe.touched, (uint32_t)block,
                          span.first_page + i, access, now_us);
        }
    }
}

void pager_note_touch(Pager *pager, size_t block, uint64_t page,
                      PageAccess access, uint64_t now_us)
{
    if (observation(pager) != OBSERVATION_ON) {
        return;
    }
    pthread_mutex_lock(&pager->observe_lock);
    if (observation(pager) == OBSERVATION_ON) {
        note_pages(pager, block, page, access, now_us);
    }
    pthread_mutex_unlock(&pager->observe_lock);
}

bool pager_is_observed_locked(const Pager *pager)
{
    return observation(pager) == OBSERVATION_NONE ||
           observation(pager) == OBSERVATION_DONE;
}

bool pager_observation_is_due_locked(const Pager *pager)
{
    return observation(pager) == OBSERVATION_ON && pager->attached &&
           (monotonic_us() >= pager->observe_until_us ||
            atomic_load_explicit(&pager->n_unplaced, memory_order_acquire) ==
                0);
}

static void tell(Pager *pager)
{
    const PagerCallbacks *callbacks = &pager->config.callbacks;

    if (pager->config.observe.kind == OBSERVE_LEARNING) {
        note_all_untouched(pager);
    }
    if (callbacks->observed) {
        callbacks->observed(callbacks->opaque);
    }
}

/* The next state; once this is back, nobody is about to note anything. */
static void set_observation_locked(Pager *pager, ObservationState state)
{
    pthread_mutex_lock(&pager->observe_lock);
    /* Release: see observation(). */
    atomic_store_explicit(&pager->observation, state, memory_order_release);
    pthread_mutex_unlock(&pager->observe_lock);
}

void pager_observe_end(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    if (observation(pager) == OBSERVATION_ON) {
        set_observation_locked(pager, OBSERVATION_ENDING);
        pthread_mutex_unlock(&pager->lock);
        tell(pager);
        pthread_mutex_lock(&pager->lock);
        set_observation_locked(pager, OBSERVATION_DONE);
        pthread_cond_broadcast(&pager->changed);
        pthread_cond_broadcast(&pager->to_place);
    }
    while (observation(pager) == OBSERVATION_ENDING) {
        pthread_cond_wait(&pager->changed, &pager->lock);
    }
    pthread_mutex_unlock(&pager->lock);
}
