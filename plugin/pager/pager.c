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
#include "plugin/pager/pager-fail.h"
#include "plugin/pager/pager-observe.h"
#include "plugin/pager/pager-placing.h"
#include "plugin/pager/pager-plan.h"
#include "plugin/pager/pager-state.h"
#include "plugin/pager/pager-units.h"
#include "profiler/orders/read-ahead.h"
#include "util/clock.h"
#include "util/thread.h"

/* Pieces that may be waiting between the threads that read and those that
 * place. */
#define N_WAITING_PIECES 6

/* ---- start ---- */

static bool init_blocks(Pager *pager)
{
    const PageSource *source = pager->config.source;
    uint64_t unit_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    _Atomic uint64_t *placed = pager->config.placed;

    pager->page_bytes = pager->max_unit_bytes = unit_bytes;
    pager->n_blocks = source->n_blocks;
    pager->blocks = g_new0(PagerBlock, source->n_blocks);
    pager->attached_blocks = g_new0(PagerBlock *, source->n_blocks);
    for (size_t i = 0; i < source->n_blocks; i++) {
        const PageSourceBlock *layout = &source->blocks[i];
        PagerBlock *block = &pager->blocks[i];

        block->layout = layout;
        block->unit_bytes = unit_bytes;
        block->unit_pages = 1;
        if (!page_states_init_in(&block->states, layout->bitmap,
                                 layout->n_pages, placed)) {
            return false;
        }
        placed = placed ? placed + block->states.n_words : NULL;
    }
    return true;
}

static bool init_workers(Pager *pager)
{
    unsigned n = pager_n_workers(pager);

    pager->fault_workers = g_new0(FaultWorker, n);
    for (unsigned i = 0; i < n; i++) {
        void *buf = mmap(NULL, pager->max_unit_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (buf == MAP_FAILED) {
            return false;
        }
        pager->fault_workers[i].buf = buf;
        pager->fault_workers[i].buf_len_bytes = pager->max_unit_bytes;
    }
    return true;
}

static bool init_pieces(Pager *pager)
{
    const PagerConfig *config = &pager->config;

    pager->max_staging = MAX(thread_count_cpus(), 2) - 1;
    pager->max_spare =
        config->n_eager_threads + config->n_place_threads + N_WAITING_PIECES;
    pager->piece_bytes = READ_AHEAD_PIECE_BYTES;
    for (unsigned i = 0; i < pager->max_spare; i++) {
        Piece *piece = piece_new(pager->piece_bytes);

        if (!piece) {
            return false;
        }
        g_queue_push_tail(&pager->spare, piece);
    }
    return true;
}

static void init_locks(Pager *pager)
{
    pthread_mutex_init(&pager->plan.lock, NULL);
    pthread_mutex_init(&pager->lock, NULL);
    clock_cond_init(&pager->changed);
    clock_cond_init(&pager->to_place);
    clock_cond_init(&pager->to_watch);
    pthread_mutex_init(&pager->observe_lock, NULL);
}

static bool start_eager_threads(Pager *pager)
{
    unsigned n = pager->config.n_eager_threads;

    pager->eager_threads = g_new0(EagerThread, n);
    for (unsigned i = 0; i < n; i++) {
        EagerThread *self = &pager->eager_threads[i];

        self->pager = pager;
        if (thread_start(&self->thread, "preheat-eager", pager_eager_thread,
                         self) < 0) {
            return false;
        }
        pager->n_eager_started++;
    }
    return true;
}

static bool start_threads(Pager *pager)
{
    unsigned n = pager->config.n_place_threads;

    pager->place_threads = g_new0(pthread_t, n);
    for (unsigned i = 0; i < n; i++) {
        if (thread_start(&pager->place_threads[i], "preheat-place",
                         pager_place_thread, pager) < 0) {
            return false;
        }
        pager->n_place_started++;
    }
    /* Before there is anything to watch. */
    if (!start_eager_threads(pager)) {
        return false;
    }
    pager->watch_started = thread_start(&pager->watch_thread, "preheat-watch",
                                        pager_watch_thread, pager) == 0;
    return pager->watch_started;
}

static bool start(Pager *pager)
{
    const PagerConfig *config = &pager->config;
    bool has_plan = config->order && config->policy == LOAD_POLICY_ORDER;

    if (!init_blocks(pager) || !init_workers(pager) || !init_pieces(pager)) {
        return false;
    }
    if (config->order && config->observe.kind == OBSERVE_LEARNING) {
        pager_hold_back(pager, config->order);
    }
    pager_plan_init(pager,
                    has_plan ? g_steal_pointer(&pager->config.order) : NULL);
    g_clear_pointer(&pager->config.order, page_order_free);
    pager->has_order = has_plan;
    pager->preparation = has_plan ? NOT_PREPARED : PREPARED;
    pager->order_is_in = !has_plan;
    pager->stage = config->policy == LOAD_POLICY_DEMAND ? STAGE_DRAIN
                   : has_plan                           ? STAGE_ORDER
                                                        : STAGE_REST;
    atomic_init(&pager->observation, config->observe.kind == OBSERVE_NOTHING
                                         ? OBSERVATION_NONE
                                         : OBSERVATION_ON);
    return start_threads(pager);
}

Pager *pager_new(const PagerConfig *config, GError **error)
{
    Pager *pager = g_new0(Pager, 1);

    pager->config = *config;
    pager->name = g_strdup(config->source->name);
    pager->uffd = -1;
    pager->gate_due_us = UINT64_MAX;
    pager->parked = parked_new();
    init_locks(pager);
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
        return pager->attached && pager->stage > STAGE_TRIAL &&
               pager->order_is_in;
    case LOAD_GOAL_ALL:
        return pager->ended;
    case LOAD_GOAL_RECORDED:
        return pager_is_observed_locked(pager);
    }
    return true;
}

bool pager_wait(Pager *pager, LoadGoal goal, GError **error)
{
    bool reached = false;

    pthread_mutex_lock(&pager->lock);
    while (!pager->changed_text &&
           !(reached = is_reached_locked(pager, goal)) && !pager->quit) {
        pthread_cond_wait(&pager->changed, &pager->lock);
    }
    const char *changed_text = pager->changed_text;
    pthread_mutex_unlock(&pager->lock);
    if (changed_text) {
        g_set_error_literal(error, PAGER_ERROR, PAGER_ERROR_SNAPSHOT,
                            changed_text);
    } else if (!reached) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "loading %s was abandoned", pager->name);
    }
    return reached;
}

void pager_retry(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    parked_retry(pager->parked);
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
}

bool pager_await_retry(Pager *pager, uint64_t max_us, uint64_t *ret_missing,
                       GError **error)
{
    uint64_t until_us = monotonic_us() + max_us;

    pthread_mutex_lock(&pager->lock);
    while (!pager->changed_text && !pager->quit &&
           parked_n_retried(pager->parked) > 0 && monotonic_us() < until_us) {
        clock_cond_wait_until(&pager->changed, &pager->lock, until_us);
    }
    uint64_t missing = parked_n_failed(pager->parked);
    const char *changed_text = pager->changed_text;
    pthread_mutex_unlock(&pager->lock);
    if (changed_text) {
        g_set_error_literal(error, PAGER_ERROR, PAGER_ERROR_SNAPSHOT,
                            changed_text);
        return false;
    }
    *ret_missing = missing;
    return true;
}

void pager_recheck(Pager *pager)
{
    (void)pager_check_source(pager);
}

void pager_end_observation(Pager *pager)
{
    pager_observe_end(pager);
}

void pager_release_rest(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->rest_is_released = true;
    if (pager->rest_gate) {
        rest_gate_release(pager->rest_gate);
    }
    pthread_mutex_unlock(&pager->lock);
}

void pager_load_rest(Pager *pager)
{
    pager_observe_end(pager);
    pthread_mutex_lock(&pager->lock);
    pager->config.rest = LOAD_REST_EAGER;
    g_clear_pointer(&pager->rest_gate, rest_gate_free);
    if (pager->stage == STAGE_DRAIN) {
        pager->stage = STAGE_REST;
        pager->plan_is_out = false;
        pthread_cond_broadcast(&pager->changed);
    }
    pthread_mutex_unlock(&pager->lock);
}

LoadState pager_state(Pager *pager)
{
    LoadState state = LOAD_STATE_LOADING;

    pthread_mutex_lock(&pager->lock);
    if (pager->changed_text) {
        state = LOAD_STATE_FAILED;
    } else if (pager->finished) {
        state = LOAD_STATE_LOADED;
    } else if (pager->failed) {
        state = LOAD_STATE_FAILED;
    } else if (!pager->attached) {
        state = LOAD_STATE_IDLE;
    } else if (pager->config.observe.kind == OBSERVE_RECORDING &&
               !pager_is_observed_locked(pager)) {
        state = LOAD_STATE_RECORDING;
    }
    pthread_mutex_unlock(&pager->lock);
    return state;
}

/* ---- end ---- */

static void stop_threads(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->quit = true;
    pager->released = true;
    while (pager->n_inside > 0) {
        pthread_cond_wait(&pager->changed, &pager->lock);
    }
    pthread_cond_broadcast(&pager->changed);
    pthread_cond_broadcast(&pager->to_place);
    pthread_cond_broadcast(&pager->to_watch);
    pthread_mutex_unlock(&pager->lock);
    for (; pager->n_eager_started > 0; pager->n_eager_started--) {
        pthread_join(pager->eager_threads[pager->n_eager_started - 1].thread,
                     NULL);
    }
    for (; pager->n_place_started > 0; pager->n_place_started--) {
        pthread_join(pager->place_threads[pager->n_place_started - 1], NULL);
    }
    if (pager->watch_started) {
        pthread_join(pager->watch_thread, NULL);
        pager->watch_started = false;
    }
    if (pager->ahead_started) {
        pthread_join(pager->ahead_thread, NULL);
        pager->ahead_started = false;
    }
}

static void free_blocks(Pager *pager)
{
    for (size_t i = 0; pager->blocks && i < pager->n_blocks; i++) {
        page_states_clear(&pager->blocks[i].states);
        pager_units_clear(&pager->blocks[i]);
    }
    g_clear_pointer(&pager->blocks, g_free);
    g_clear_pointer(&pager->attached_blocks, g_free);
}

static void free_workers(Pager *pager)
{
    for (unsigned i = 0; pager->fault_workers && i < pager_n_workers(pager);
         i++) {
        if (pager->fault_workers[i].buf) {
            munmap(pager->fault_workers[i].buf,
                   pager->fault_workers[i].buf_len_bytes);
        }
    }
    g_clear_pointer(&pager->fault_workers, g_free);
    if (pager->zeroes) {
        munmap(pager->zeroes, pager->max_unit_bytes);
        pager->zeroes = NULL;
    }
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
    stop_threads(pager);
    if (pager->blocks) {
        pager_give_back(pager);
    }
    free_pieces(&pager->read);
    free_pieces(&pager->held);
    free_pieces(&pager->spare);
    pager_plan_clear(pager);
    free_blocks(pager);
    free_workers(pager);
    g_clear_pointer(&pager->eager_threads, g_free);
    g_clear_pointer(&pager->place_threads, g_free);
}

void pager_free(Pager *pager)
{
    if (!pager) {
        return;
    }
    pager_release(pager);
    pthread_mutex_destroy(&pager->observe_lock);
    pthread_cond_destroy(&pager->to_watch);
    pthread_cond_destroy(&pager->to_place);
    pthread_cond_destroy(&pager->changed);
    pthread_mutex_destroy(&pager->lock);
    pthread_mutex_destroy(&pager->plan.lock);
    parked_free(pager->parked);
    rest_gate_free(pager->rest_gate);
    page_order_free(pager->config.order);
    g_free(pager->changed_text);
    g_free(pager->name);
    g_free(pager);
}
