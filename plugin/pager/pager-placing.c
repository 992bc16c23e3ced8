/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-placing.h"

#include "plugin/pager/pager-attach.h"
#include "plugin/pager/pager-fail.h"
#include "plugin/pager/pager-observe.h"
#include "plugin/pager/pager-place.h"
#include "plugin/pager/pager-state.h"
#include "util/clock.h"

void pager_hand_over(Pager *pager, Piece *piece)
{
    pthread_mutex_lock(&pager->lock);
    g_queue_push_tail(&pager->read, piece);
    pager->read_bytes += piece->buf_len_bytes;
    pthread_cond_signal(&pager->to_place);
    if (pager->is_regrouping) {
        pthread_cond_broadcast(&pager->changed);
    }
    pthread_mutex_unlock(&pager->lock);
}

/* Wake who waits for it: for a piece to read into (where there was none), or
 * for all of them to be back.  Nobody else: to wake a thread costs more than to
 * place a piece of an order. */
static void note_put_locked(Pager *pager, bool was_short)
{
    if (was_short || pager->n_pieces == 0 || pager->is_regrouping) {
        pthread_cond_broadcast(&pager->changed);
    }
    if (pager->n_pieces == 0 && pager->stage == STAGE_DRAIN) {
        pthread_cond_broadcast(&pager->to_place);
    }
}

void pager_put_piece(Pager *pager, Piece *piece)
{
    if (piece && piece->is_retry) {
        pager_end_retry(pager, piece->read.span.block,
                        piece->read.span.first_page);
        piece->is_retry = false;
    }
    if (piece && piece->is_huge) {
        piece_leave_huge(piece);
    }
    pthread_mutex_lock(&pager->lock);
    bool was_short = !pager->spare.head;
    bool fits = piece && piece->buf_len_bytes == pager->piece_bytes;
    if (fits && pager->spare.length < pager->max_spare) {
        /* The one used last is still in the processor's cache. */
        g_queue_push_head(&pager->spare, g_steal_pointer(&piece));
    }
    pager->n_pieces--;
    note_put_locked(pager, was_short);
    pthread_mutex_unlock(&pager->lock);
    piece_free(piece);
}

void pager_place_piece(Pager *pager, Piece *piece)
{
    if (pager->blocks[piece->read.span.block].host == 0) {
        /* Not one of those that were attached. */
    } else if (piece->is_zero) {
        pager_place_zero(pager, piece);
    } else {
        pager_place(pager, piece);
    }
    if (piece->is_spent) {
        piece_renew_huge(piece, piece->huge_bytes);
    }
    pager_put_piece(pager, piece);
}

/* Every page is in: unregister and end the fault threads. */
static void finish(Pager *pager)
{
    const PagerCallbacks *callbacks = &pager->config.callbacks;
    bool is_right = pager_check_source(pager);

    pager_give_back(pager);
    if (is_right) {
        load_stats_milestone(pager->config.stats, MILESTONE_LOADED,
                             monotonic_us());
    }
    pthread_mutex_lock(&pager->lock);
    pager->finished = true;
    pthread_mutex_unlock(&pager->lock);
    if (is_right && callbacks->loaded) {
        callbacks->loaded(callbacks->opaque);
    }
    pthread_mutex_lock(&pager->lock);
    pager->ended = true;
    pthread_cond_broadcast(&pager->changed);
    pthread_cond_broadcast(&pager->to_watch);
    pthread_mutex_unlock(&pager->lock);
}

static bool is_complete_locked(const Pager *pager)
{
    /* Acquire: all that was placed is seen. */
    return pager->stage == STAGE_DRAIN && pager->attached &&
           pager->n_pieces == 0 && parked_count(pager->parked) == 0 &&
           pager_is_observed_locked(pager) &&
           atomic_load_explicit(&pager->n_unplaced, memory_order_acquire) == 0;
}

static void wait_locked(Pager *pager)
{
    if (pager->observation == OBSERVATION_ON && pager->attached) {
        clock_cond_wait_until(&pager->to_place, &pager->lock,
                              pager->observe_until_us);
    } else {
        pthread_cond_wait(&pager->to_place, &pager->lock);
    }
}

/* Do what is to be done next; waits where there is nothing.  The lock is let
 * go meanwhile. */
static void step_locked(Pager *pager)
{
    if (pager->attached && pager->read.head) {
        Piece *piece = g_queue_pop_head(&pager->read);

        pager->read_bytes -= piece->buf_len_bytes;
        pthread_mutex_unlock(&pager->lock);
        pager_place_piece(pager, piece);
        pthread_mutex_lock(&pager->lock);
    } else if (pager_observation_is_due_locked(pager)) {
        pthread_mutex_unlock(&pager->lock);
        pager_observe_end(pager);
        pthread_mutex_lock(&pager->lock);
    } else if (is_complete_locked(pager)) {
        pager->stage = STAGE_DONE;
        pthread_cond_broadcast(&pager->changed);
        pthread_cond_broadcast(&pager->to_place);
        pthread_mutex_unlock(&pager->lock);
        finish(pager);
        pthread_mutex_lock(&pager->lock);
    } else {
        wait_locked(pager);
    }
}

void *pager_place_thread(void *opaque)
{
    Pager *pager = opaque;

    pthread_mutex_lock(&pager->lock);
    while (!pager->quit && pager->stage != STAGE_DONE) {
        step_locked(pager);
    }
    pthread_mutex_unlock(&pager->lock);
    return NULL;
}
