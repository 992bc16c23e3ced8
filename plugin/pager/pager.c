/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager's life: start, taking over memory, end.  See pager-internal.h
 * for the theory of operation.
 */
#include "plugin/pager/pager-internal.h"

#include <sys/mman.h>
#include <unistd.h>

#include "profiler/orders/read-ahead.h"
#include "util/clock.h"
#include "util/thread.h"

/* ---- start ---- */

static int compare_offsets(const void *a, const void *b, void *opaque)
{
    const RamImage *snapshot = opaque;
    uint64_t x = snapshot->blocks[*(const size_t *)a].pages_off_bytes;
    uint64_t y = snapshot->blocks[*(const size_t *)b].pages_off_bytes;

    return (x > y) - (x < y);
}

static bool init_blocks(Pager *pager)
{
    const RamImage *snapshot = pager->config.snapshot;

    pager->blocks = g_new0(PagerBlock, snapshot->n_blocks);
    pager->by_offset = g_new0(size_t, snapshot->n_blocks);
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const RamImageBlock *layout = &snapshot->blocks[i];

        pager->blocks[i].layout = layout;
        pager->blocks[i].registered =
            g_array_new(FALSE, FALSE, sizeof(RegisteredRange));
        pager->by_offset[i] = i;
        if (!page_states_init(&pager->blocks[i].states, layout->bitmap,
                              layout->n_pages)) {
            return false;
        }
    }
    qsort_r(pager->by_offset, snapshot->n_blocks, sizeof(size_t),
            compare_offsets, (void *)snapshot);
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
    self->buf = map_buffer(READ_AHEAD_PIECE_BYTES);
    if (!self->buf) {
        return false;
    }
    if (thread_start(&self->thread, "preheat-eager", pager_eager_thread, self) <
        0) {
        munmap(self->buf, READ_AHEAD_PIECE_BYTES);
        return false;
    }
    pager->n_eager_started++;
    return true;
}

static Replay *new_replay(const PageOrder *order, const RamImage *snapshot)
{
    g_autofree ReplayBlock *blocks = g_new(ReplayBlock, snapshot->n_blocks);

    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const RamImageBlock *block = &snapshot->blocks[i];

        blocks[i] =
            (ReplayBlock){block->name, block->page_bytes, block->n_pages};
    }
    return replay_new(order, blocks, snapshot->n_blocks);
}

static bool start(Pager *pager)
{
    const PagerConfig *config = &pager->config;

    pager->fault_bufs = map_buffer(config->n_fault_threads * pager->page_bytes);
    if (!pager->fault_bufs || !init_blocks(pager)) {
        return false;
    }
    if (config->policy == LOAD_POLICY_ORDER && config->order) {
        pager->replay = new_replay(config->order, config->snapshot);
    }
    if (config->order && config->learning.missed) {
        pager_hold_back(pager, config->order);
    }
    pager->config.order = NULL;
    pager->stage = config->policy == LOAD_POLICY_DEMAND ? STAGE_DRAIN
                   : pager->replay                      ? STAGE_ORDER
                                                        : STAGE_REST;
    pager->recording.state = config->recorder ? NOTING_ON : NOTING_NONE;
    pager->learning.state = config->learning.missed ? NOTING_ON : NOTING_NONE;
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
    pager->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    pager->uffd = -1;
    init_lock(pager);
    g_queue_init(&pager->staged);
    pager->held = g_array_new(FALSE, FALSE, sizeof(HeldPiece));
    if (!start(pager)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "%s: no memory or no threads for loading it",
                    config->snapshot->path);
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
        return (pager->recording.state == NOTING_NONE ||
                pager->recording.state == NOTING_DONE) &&
               (pager->learning.state == NOTING_NONE ||
                pager->learning.state == NOTING_DONE);
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
                    "loading %s has been given up",
                    pager->config.snapshot->path);
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

/* End it, unless it has ended or another thread is about to; then wait for
 * that one. */
static void end_noting(Pager *pager, Noting *noting, void (*end)(Pager *pager))
{
    pthread_mutex_lock(&pager->lock);
    if (noting->state == NOTING_ON) {
        noting->state = NOTING_ENDING;
        pthread_mutex_unlock(&pager->lock);
        end(pager);
        pthread_mutex_lock(&pager->lock);
        noting->state = NOTING_DONE;
        pthread_cond_broadcast(&pager->changed);
    }
    while (noting->state == NOTING_ENDING) {
        pthread_cond_wait(&pager->changed, &pager->lock);
    }
    pthread_mutex_unlock(&pager->lock);
}

static void recorded(Pager *pager)
{
    if (pager->config.callbacks.recorded) {
        pager->config.callbacks.recorded(pager->config.callbacks.opaque);
    }
}

static void learned(Pager *pager)
{
    pager_note_unused(pager);
    if (pager->config.callbacks.learned) {
        pager->config.callbacks.learned(pager->config.callbacks.opaque);
    }
}

void pager_end_recording(Pager *pager)
{
    end_noting(pager, &pager->recording, recorded);
}

void pager_end_learning(Pager *pager)
{
    end_noting(pager, &pager->learning, learned);
}

void pager_load_rest(Pager *pager)
{
    pager_end_recording(pager);
    pager_end_learning(pager);
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
    } else if (pager->recording.state == NOTING_ON) {
        state = LOAD_STATE_RECORDING;
    }
    pthread_mutex_unlock(&pager->lock);
    return state;
}

/* ---- end ---- */

void pager_finish(Pager *pager)
{
    pager_give_back(pager);
    load_stats_milestone(pager->config.stats, MILESTONE_LOADED, monotonic_us());
    pthread_mutex_lock(&pager->lock);
    pager->finished = true;
    pthread_mutex_unlock(&pager->lock);
    if (pager->config.callbacks.loaded) {
        pager->config.callbacks.loaded(pager->config.callbacks.opaque);
    }
    pthread_mutex_lock(&pager->lock);
    pager->told = true;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
}

static void stop_eager_threads(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->quit = true;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
    for (unsigned i = 0; i < pager->n_eager_started; i++) {
        pthread_join(pager->eager_threads[i].thread, NULL);
        munmap(pager->eager_threads[i].buf, READ_AHEAD_PIECE_BYTES);
    }
    pager->n_eager_started = 0;
    g_clear_pointer(&pager->eager_threads, g_free);
}

static void free_blocks(Pager *pager)
{
    for (size_t i = 0; pager->blocks && i < pager->config.snapshot->n_blocks;
         i++) {
        page_states_clear(&pager->blocks[i].states);
        g_clear_pointer(&pager->blocks[i].registered, g_array_unref);
    }
    g_clear_pointer(&pager->blocks, g_free);
    g_clear_pointer(&pager->by_offset, g_free);
    g_clear_pointer(&pager->held, g_array_unref);
}

void pager_release(Pager *pager)
{
    stop_eager_threads(pager);
    if (pager->blocks) {
        pager_give_back(pager);
    }
    pager_free_staged(pager);
    g_clear_pointer(&pager->replay, replay_free);
    free_blocks(pager);
    if (pager->fault_bufs) {
        munmap(pager->fault_bufs,
               pager->config.n_fault_threads * pager->page_bytes);
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
