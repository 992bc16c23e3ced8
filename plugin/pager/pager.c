/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager's life: start and end.  See pager-state.h for the theory of
 * operation.
 */
#include "plugin/pager/pager.h"

#include <sys/mman.h>
#include <unistd.h>

#include "plugin/pager/pager-eager.h"
#include "plugin/pager/pager-observe.h"
#include "plugin/pager/pager-state.h"
#include "profiler/orders/read-ahead.h"
#include "util/clock.h"
#include "util/thread.h"

/* ---- start ---- */

static bool init_blocks(Pager *pager)
{
    const PageSource *source = pager->config.source;
    uint64_t unit_bytes = (uint64_t)sysconf(_SC_PAGESIZE);

    pager->max_unit_bytes = unit_bytes;
    pager->n_blocks = source->n_blocks;
    pager->blocks = g_new0(PagerBlock, source->n_blocks);
    pager->sequence = g_new0(size_t, source->n_blocks);
    source->sequence(source, pager->sequence);
    for (size_t i = 0; i < source->n_blocks; i++) {
        const PageSourceBlock *layout = &source->blocks[i];
        PagerBlock *block = &pager->blocks[i];

        block->layout = layout;
        block->unit_bytes = unit_bytes;
        if (!page_states_init(&block->states, layout->bitmap,
                              layout->n_pages)) {
            return false;
        }
    }
    return true;
}

static void init_lock(Pager *pager)
{
    pthread_mutex_init(&pager->lock, NULL);
    clock_cond_init(&pager->changed);
}

static void *map_buffer(uint64_t len_bytes)
{
    void *buf = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return buf == MAP_FAILED ? NULL : buf;
}

static bool start_eager_thread(Pager *pager)
{
    EagerThread *self = &pager->eager_threads[pager->n_eager_started];

    self->pager = pager;
    self->piece = piece_new(READ_AHEAD_PIECE_BYTES);
    if (!self->piece) {
        return false;
    }
    if (thread_start(&self->thread, "preheat-eager", pager_eager_thread, self) <
        0) {
        piece_free(self->piece);
        return false;
    }
    pager->n_eager_started++;
    return true;
}

static Replay *new_replay(const PageOrder *order, const PageSource *source)
{
    g_autofree ReplayBlock *blocks = g_new(ReplayBlock, source->n_blocks);

    for (size_t i = 0; i < source->n_blocks; i++) {
        const PageSourceBlock *block = &source->blocks[i];

        blocks[i] =
            (ReplayBlock){block->name, block->page_bytes, block->n_pages};
    }
    return replay_new(order, blocks, source->n_blocks);
}

static bool start(Pager *pager)
{
    const PagerConfig *config = &pager->config;

    if (!init_blocks(pager)) {
        return false;
    }
    pager->fault_bufs =
        map_buffer(config->n_fault_threads * pager->max_unit_bytes);
    if (!pager->fault_bufs) {
        return false;
    }
    if (config->policy == LOAD_POLICY_ORDER && config->order) {
        pager->replay = new_replay(config->order, config->source);
    }
    if (config->order && config->observe.kind == OBSERVE_LEARNING) {
        pager_hold_back(pager, config->order);
    }
    pager->config.order = NULL;
    pager->stage = config->policy == LOAD_POLICY_DEMAND ? STAGE_DRAIN
                   : pager->replay                      ? STAGE_ORDER
                                                        : STAGE_REST;
    pager->observation = config->observe.kind == OBSERVE_NOTHING
                             ? OBSERVATION_NONE
                             : OBSERVATION_ON;
    pager->eager_threads = g_new0(EagerThread, config->n_eager_threads);
    while (pager->n_eager_started < config->n_eager_threads) {
        if (!start_eager_thread(pager)) {
            return false;
        }
    }
    return true;
}

Pager *pager_new(const PagerConfig *config, GError **error)
{
    Pager *pager = g_new0(Pager, 1);

    pager->config = *config;
    pager->uffd = -1;
    init_lock(pager);
    g_queue_init(&pager->staged);
    g_queue_init(&pager->held);
    if (!start(pager)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "%s: no memory or no threads for loading it",
                    config->source->name);
        pager_free(pager);
        return NULL;
    }
    return pager;
}

/* ---- while it runs ---- */

static bool is_reached_locked(const Pager *pager, LoadGoal goal)
{
    switch (goal) {
    case LOAD_GOAL_HOT:
        return pager->attached && pager->stage != STAGE_ORDER;
    case LOAD_GOAL_ALL:
        return pager->told;
    case LOAD_GOAL_RECORDED:
        return pager_is_observed_locked(pager);
    }
    return true;
}

bool pager_wait(Pager *pager, LoadGoal goal, GError **error)
{
    bool reached;

    pthread_mutex_lock(&pager->lock);
    while (!(reached = is_reached_locked(pager, goal)) && !pager->quit) {
        pthread_cond_wait(&pager->changed, &pager->lock);
    }
    pthread_mutex_unlock(&pager->lock);
    if (!reached) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "loading %s has been given up", pager->config.source->name);
    }
    return reached;
}

void pager_retry(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->failed = false;
    pager->retries++;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
}

void pager_end_observation(Pager *pager)
{
    pager_observe_end(pager);
}

void pager_load_rest(Pager *pager)
{
    pager_observe_end(pager);
    pthread_mutex_lock(&pager->lock);
    if (pager->stage == STAGE_DRAIN) {
        pager->stage = STAGE_REST;
        pthread_cond_broadcast(&pager->changed);
    }
    pthread_mutex_unlock(&pager->lock);
}

LoadState pager_state(Pager *pager)
{
    LoadState state = LOAD_STATE_LOADING;

    pthread_mutex_lock(&pager->lock);
    if (pager->finished) {
        state = LOAD_STATE_LOADED;
    } else if (pager->failed) {
        state = LOAD_STATE_FAILED;
    } else if (!pager->attached) {
        state = LOAD_STATE_IDLE;
    } else if (pager->observation == OBSERVATION_ON &&
               pager->config.observe.kind == OBSERVE_RECORDING) {
        state = LOAD_STATE_RECORDING;
    }
    pthread_mutex_unlock(&pager->lock);
    return state;
}

/* ---- end ---- */

static void stop_eager_threads(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->quit = true;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
    for (unsigned i = 0; i < pager->n_eager_started; i++) {
        pthread_join(pager->eager_threads[i].thread, NULL);
        piece_free(pager->eager_threads[i].piece);
    }
    pager->n_eager_started = 0;
    g_clear_pointer(&pager->eager_threads, g_free);
}

static void free_blocks(Pager *pager)
{
    for (size_t i = 0; pager->blocks && i < pager->n_blocks; i++) {
        page_states_clear(&pager->blocks[i].states);
    }
    g_clear_pointer(&pager->blocks, g_free);
    g_clear_pointer(&pager->sequence, g_free);
}

static void free_pieces(GQueue *pieces)
{
    Piece *piece;

    while ((piece = g_queue_pop_head(pieces))) {
        piece_free(piece);
    }
}

void pager_release(Pager *pager)
{
    stop_eager_threads(pager);
    if (pager->blocks) {
        pager_give_back(pager);
    }
    free_pieces(&pager->staged);
    free_pieces(&pager->held);
    g_clear_pointer(&pager->replay, replay_free);
    free_blocks(pager);
    if (pager->fault_bufs) {
        munmap(pager->fault_bufs,
               pager->config.n_fault_threads * pager->max_unit_bytes);
        pager->fault_bufs = NULL;
    }
}

void pager_free(Pager *pager)
{
    if (!pager) {
        return;
    }
    pager_release(pager);
    pthread_cond_destroy(&pager->changed);
    pthread_mutex_destroy(&pager->lock);
    g_free(pager);
}
