/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The eager threads' part of the pager: load everything that nobody waits
 * for yet, the order's pages first.
 */
#include "plugin/pager/pager-eager.h"

#include <sys/resource.h>
#include <unistd.h>

#include "plugin/pager/pager-attach.h"
#include "plugin/pager/pager-observe.h"
#include "plugin/pager/pager-place.h"
#include "plugin/pager/pager-state.h"
#include "profiler/orders/read-ahead.h"
#include "util/clock.h"

#define REST_NICE 10

typedef enum {
    TASK_LOAD,         /* claim, read and place a span */
    TASK_STAGE,        /* claim and read a span before there is a place */
    TASK_PLACE_STAGED, /* place what was read so */
    TASK_END_OBSERVATION,
    TASK_LOAD_HELD, /* what was held back for it */
    TASK_FINISH,    /* every page is in */
    TASK_END,
} TaskKind;

typedef struct Task {
    TaskKind kind;
    PageSpan span;
    PlacedBy why;
    Piece *piece;
} Task;

static uint64_t piece_bytes(const Pager *pager)
{
    uint64_t last_us =
        atomic_load_explicit(&pager->last_fault_us, memory_order_relaxed);
    bool busy = last_us != 0 && monotonic_us() - last_us < READ_AHEAD_BUSY_US;

    return busy ? READ_AHEAD_BUSY_PIECE_BYTES : READ_AHEAD_PIECE_BYTES;
}

static bool is_loadable_locked(const Pager *pager, size_t block)
{
    const PagerBlock *it = &pager->blocks[block];

    return pager->attached ? it->host != 0
                           : it->layout->page_bytes == it->unit_bytes;
}

static bool next_of_order_locked(Pager *pager, PageSpan *ret_span)
{
    PageSpan span;

    if (!pager->replay) {
        return false;
    }
    while (replay_next(pager->replay,
                       piece_bytes(pager) / pager->max_unit_bytes, &span)) {
        PageStates *states = &pager->blocks[span.block].states;

        if (is_loadable_locked(pager, span.block) &&
            page_states_next_pending(states, span.first_page) <
                span.first_page + span.n_pages) {
            *ret_span = span;
            return true;
        }
    }
    return false;
}

static bool next_of_rest_locked(Pager *pager, PageSpan *ret_span)
{
    for (; pager->rest_block < pager->n_blocks;
         pager->rest_block++, pager->rest_page = 0) {
        size_t index = pager->sequence[pager->rest_block];
        PagerBlock *block = &pager->blocks[index];

        if (block->host == 0) {
            continue;
        }
        uint64_t page =
            page_states_next_pending(&block->states, pager->rest_page);
        if (page < block->layout->n_pages) {
            /* Once: MIN() would ask twice, and time goes by in between. */
            uint64_t max_pages = piece_bytes(pager) / block->unit_bytes;

            ret_span->block = index;
            ret_span->first_page = page;
            ret_span->n_pages = MIN(max_pages, block->layout->n_pages - page);
            pager->rest_page = page + ret_span->n_pages;
            return true;
        }
    }
    return false;
}

static void enter_stage_locked(Pager *pager, PagerStage stage)
{
    pager->stage = stage;
    if (stage == STAGE_REST) {
        load_stats_milestone(pager->config.stats, MILESTONE_ORDER_DONE,
                             monotonic_us());
        replay_free(pager->replay);
        pager->replay = NULL;
    }
    pthread_cond_broadcast(&pager->changed);
}

/* What there is to do in the present stage; false: nothing just now. */
static bool next_of_stage_locked(Pager *pager, Task *ret_task)
{
    if (pager->stage == STAGE_ORDER) {
        if (!pager->attached &&
            pager->staged_bytes >= pager->config.max_staged_bytes) {
            return false;
        }
        if (next_of_order_locked(pager, &ret_task->span)) {
            ret_task->kind = pager->attached ? TASK_LOAD : TASK_STAGE;
            ret_task->why = PLACED_BY_ORDER;
            return true;
        }
        if (pager->attached && pager->n_busy == 0) {
            enter_stage_locked(pager, STAGE_REST);
        }
    }
    if (pager->stage == STAGE_REST && pager->attached) {
        if (next_of_rest_locked(pager, &ret_task->span)) {
            ret_task->kind = TASK_LOAD;
            ret_task->why = PLACED_BY_REST;
            return true;
        }
        if (pager->n_busy == 0) {
            enter_stage_locked(pager, STAGE_DRAIN);
        }
    }
    if (pager->stage == STAGE_DRAIN && pager->attached &&
        pager_is_observed_locked(pager) &&
        atomic_load_explicit(&pager->n_unplaced, memory_order_acquire) == 0) {
        enter_stage_locked(pager, STAGE_DONE);
        ret_task->kind = TASK_FINISH;
        return true;
    }
    return false;
}

static void wait_locked(Pager *pager)
{
    if (pager->observation != OBSERVATION_ON || !pager->attached) {
        pthread_cond_wait(&pager->changed, &pager->lock);
        return;
    }
    clock_cond_wait_until(&pager->changed, &pager->lock,
                          pager->observe_until_us);
}

/* Sets *ret_task to what can be done now; false: nothing. */
static bool find_task_locked(Pager *pager, Task *ret_task)
{
    if (pager->quit || pager->stage == STAGE_DONE) {
        ret_task->kind = TASK_END;
        return true;
    }
    if (pager->attached && !g_queue_is_empty(&pager->staged)) {
        ret_task->kind = TASK_PLACE_STAGED;
        ret_task->piece = g_queue_pop_head(&pager->staged);
        pager->staged_bytes -= ret_task->piece->buf_len_bytes;
        return true;
    }
    if (pager_observation_is_due_locked(pager)) {
        ret_task->kind = TASK_END_OBSERVATION;
        return true;
    }
    if (pager->observation == OBSERVATION_DONE && pager->attached &&
        !pager->held_taken) {
        pager->held_taken = true;
        ret_task->kind = TASK_LOAD_HELD;
        return true;
    }
    bool is_recording = pager->observation == OBSERVATION_ON &&
                        pager->config.observe.kind == OBSERVE_RECORDING;
    return !is_recording && next_of_stage_locked(pager, ret_task);
}

static void next_task_locked(Pager *pager, Task *ret_task)
{
    while (!find_task_locked(pager, ret_task)) {
        wait_locked(pager);
    }
}

static void place_piece(Pager *pager, Piece *piece)
{
    if (pager->blocks[piece->read.span.block].host != 0) {
        pager_place(pager, piece);
    }
    piece_free(piece);
}

/* Claim what is pending in the span, and read it.  Returns false when nothing
 * was, or when the pager ends. */
static bool claim_and_read(Pager *pager, Piece *piece, const Task *task)
{
    PageStates *states = &pager->blocks[task->span.block].states;

    return piece_claim(piece, states, &task->span, task->why) &&
           pager_read_ahead(pager, piece);
}

static void load_span(Pager *pager, Piece *piece, const Task *task)
{
    if (claim_and_read(pager, piece, task)) {
        pager_place(pager, piece);
    }
}

/* Keep the piece until there is a place for it; false: there is one now. */
static bool keep_piece(Pager *pager, Piece *piece)
{
    pthread_mutex_lock(&pager->lock);
    bool kept = !pager->attached;
    if (kept) {
        g_queue_push_tail(&pager->staged, piece);
        pager->staged_bytes += piece->buf_len_bytes;
    }
    pthread_mutex_unlock(&pager->lock);
    return kept;
}

static void stage_span(Pager *pager, const Task *task)
{
    uint64_t unit_bytes = pager->blocks[task->span.block].unit_bytes;
    Piece *piece = piece_new(task->span.n_pages * unit_bytes);

    if (!piece) {
        pthread_mutex_lock(&pager->lock);
        pager->config.max_staged_bytes = 0;
        pthread_mutex_unlock(&pager->lock);
        return;
    }
    if (!claim_and_read(pager, piece, task)) {
        piece_free(piece);
    } else if (!keep_piece(pager, piece)) {
        place_piece(pager, piece);
    }
}

/* Load what was held back, now that the observation is over. */
static void load_held(Pager *pager, Piece *buffer)
{
    Piece *held;
    bool go_on = true;

    while ((held = g_queue_pop_head(&pager->held))) {
        held->read.buf = buffer->read.buf;
        if (go_on && pager->blocks[held->read.span.block].host != 0) {
            go_on = pager_read_ahead(pager, held) && pager_place(pager, held);
        }
        piece_free(held);
    }
}

/* Every page is in: unregister and end the fault threads. */
static void finish(Pager *pager)
{
    const PagerCallbacks *callbacks = &pager->config.callbacks;

    pager_give_back(pager);
    load_stats_milestone(pager->config.stats, MILESTONE_LOADED, monotonic_us());
    pthread_mutex_lock(&pager->lock);
    pager->finished = true;
    pthread_mutex_unlock(&pager->lock);
    if (callbacks->loaded) {
        callbacks->loaded(callbacks->opaque);
    }
    pthread_mutex_lock(&pager->lock);
    pager->told = true;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
}

/* Where processors are scarce, what nobody has asked for yet gives way to the
 * guest that runs.  For good: to raise a thread again takes a privilege. */
static void give_way(EagerThread *self)
{
    if (!self->gives_way) {
        /* Fails never for one's own thread; and it is but a courtesy. */
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), REST_NICE);
        self->gives_way = true;
    }
}

static void run_task(EagerThread *self, const Task *task)
{
    Pager *pager = self->pager;

    switch (task->kind) {
    case TASK_LOAD:
        if (task->why == PLACED_BY_REST) {
            give_way(self);
        }
        load_span(pager, self->piece, task);
        break;
    case TASK_STAGE:
        stage_span(pager, task);
        break;
    case TASK_PLACE_STAGED:
        place_piece(pager, task->piece);
        break;
    case TASK_END_OBSERVATION:
        pager_observe_end(pager);
        break;
    case TASK_LOAD_HELD:
        load_held(pager, self->piece);
        break;
    case TASK_FINISH:
        finish(pager);
        break;
    case TASK_END:
        break;
    }
}

void *pager_eager_thread(void *opaque)
{
    EagerThread *self = opaque;
    Pager *pager = self->pager;
    Task task;

    do {
        pthread_mutex_lock(&pager->lock);
        next_task_locked(pager, &task);
        pager->n_busy++;
        pthread_mutex_unlock(&pager->lock);

        run_task(self, &task);

        pthread_mutex_lock(&pager->lock);
        pager->n_busy--;
        pthread_cond_broadcast(&pager->changed);
        pthread_mutex_unlock(&pager->lock);
    } while (task.kind != TASK_END);
    return NULL;
}
