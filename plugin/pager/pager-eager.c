/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The eager threads' part of the pager: load everything that nobody waits
 * for yet, the order's pages first.
 */
#include "plugin/pager/pager-internal.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "profiler/orders/read-ahead.h"
#include "util/clock.h"

#define REST_NICE 10

typedef enum {
    TASK_LOAD,          /* claim, read and place a span */
    TASK_STAGE,         /* claim and read a span before there is a place */
    TASK_PLACE_STAGED,  /* place what was read so */
    TASK_END_RECORDING, /* its time is over */
    TASK_END_LEARNING,  /* its time is over */
    TASK_RELEASE_HELD,  /* load what was held back for it */
    TASK_FINISH,        /* every page is in */
    TASK_END,
} TaskKind;

typedef struct Task {
    TaskKind kind;
    PageSpan span;
    PlacedBy by;
    StagedPiece *piece;
} Task;

static uint64_t piece_pages(const Pager *pager)
{
    uint64_t last_us =
        atomic_load_explicit(&pager->last_fault_us, memory_order_relaxed);
    bool busy = last_us != 0 && monotonic_us() - last_us < READ_AHEAD_BUSY_US;

    return (busy ? READ_AHEAD_BUSY_PIECE_BYTES : READ_AHEAD_PIECE_BYTES) /
           pager->page_bytes;
}

static bool is_loadable_locked(const Pager *pager, size_t block)
{
    const PagerBlock *it = &pager->blocks[block];

    return pager->attached ? it->host != 0
                           : it->layout->page_bytes == pager->page_bytes;
}

static bool next_of_order_locked(Pager *pager, PageSpan *ret_span)
{
    PageSpan span;

    if (!pager->replay) {
        return false;
    }
    while (replay_next(pager->replay, piece_pages(pager), &span)) {
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
    for (; pager->rest_block < pager->config.snapshot->n_blocks;
         pager->rest_block++, pager->rest_page = 0) {
        size_t index = pager->by_offset[pager->rest_block];
        PagerBlock *block = &pager->blocks[index];

        if (block->host == 0) {
            continue;
        }
        uint64_t page =
            page_states_next_pending(&block->states, pager->rest_page);
        if (page < block->layout->n_pages) {
            /* Once: MIN() would ask twice, and time goes by in between. */
            uint64_t max_pages = piece_pages(pager);

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

/* Nobody notes any more, nor looks at what was held back. */
static bool noting_is_over(const Noting *noting)
{
    return noting->state == NOTING_NONE || noting->state == NOTING_DONE;
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
            ret_task->by = PLACED_BY_ORDER;
            return true;
        }
        if (pager->attached && pager->n_busy == 0) {
            enter_stage_locked(pager, STAGE_REST);
        }
    }
    if (pager->stage == STAGE_REST && pager->attached) {
        if (next_of_rest_locked(pager, &ret_task->span)) {
            ret_task->kind = TASK_LOAD;
            ret_task->by = PLACED_BY_REST;
            return true;
        }
        if (pager->n_busy == 0) {
            enter_stage_locked(pager, STAGE_DRAIN);
        }
    }
    if (pager->stage == STAGE_DRAIN && pager->attached &&
        noting_is_over(&pager->recording) && noting_is_over(&pager->learning) &&
        atomic_load_explicit(&pager->n_unplaced, memory_order_acquire) == 0) {
        enter_stage_locked(pager, STAGE_DONE);
        ret_task->kind = TASK_FINISH;
        return true;
    }
    return false;
}

/* Whether it is time to end recording or learning: nothing is left that could
 * be noted, or the time is over. */
static bool is_over_locked(const Pager *pager, const Noting *noting)
{
    return noting->state == NOTING_ON && pager->attached &&
           (monotonic_us() >= noting->until_us ||
            atomic_load_explicit(&pager->n_unplaced, memory_order_acquire) ==
                0);
}

static void wait_locked(Pager *pager)
{
    const Noting *noting = pager->recording.state == NOTING_ON
                               ? &pager->recording
                               : &pager->learning;

    if (noting->state != NOTING_ON || !pager->attached) {
        pthread_cond_wait(&pager->changed, &pager->lock);
        return;
    }
    clock_cond_wait_until(&pager->changed, &pager->lock, noting->until_us);
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
        pager->staged_bytes -= ret_task->piece->len_bytes;
        return true;
    }
    if (is_over_locked(pager, &pager->learning)) {
        ret_task->kind = TASK_END_LEARNING;
        return true;
    }
    if (pager->learning.state == NOTING_DONE && pager->attached &&
        !pager->released) {
        pager->released = true;
        ret_task->kind = TASK_RELEASE_HELD;
        return true;
    }
    if (is_over_locked(pager, &pager->recording)) {
        ret_task->kind = TASK_END_RECORDING;
        return true;
    }
    return pager->recording.state != NOTING_ON &&
           next_of_stage_locked(pager, ret_task);
}

static void next_task_locked(Pager *pager, Task *ret_task)
{
    while (!find_task_locked(pager, ret_task)) {
        wait_locked(pager);
    }
}

static void free_piece(StagedPiece *piece)
{
    munmap(piece->buf, piece->len_bytes);
    g_free(piece);
}

void pager_free_staged(Pager *pager)
{
    StagedPiece *piece;

    while ((piece = g_queue_pop_head(&pager->staged))) {
        free_piece(piece);
    }
}

static void place_piece(Pager *pager, StagedPiece *piece)
{
    if (pager->blocks[piece->block].host != 0) {
        pager_place(pager, piece->block, &piece->window, piece->buf,
                    piece->first_page, PLACED_BY_ORDER);
    }
    free_piece(piece);
}

/* Room for n_pages; NULL: out of memory. */
static StagedPiece *new_piece(const Pager *pager, uint64_t n_pages)
{
    uint64_t len = n_pages * pager->page_bytes;
    void *buf = mmap(NULL, len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (buf == MAP_FAILED) {
        return NULL;
    }
    StagedPiece *piece = g_new0(StagedPiece, 1);
    piece->len_bytes = len;
    piece->buf = buf;
    return piece;
}

/* Claim what is pending in the span, and read from its first page to its last
 * into buf.  Returns false when nothing was, or when the pager ends. */
static bool claim_and_read(Pager *pager, const PageSpan *span,
                           PageWindow *ret_window, uint64_t *ret_first_page,
                           void *buf)
{
    PageStates *states = &pager->blocks[span->block].states;
    uint64_t n_pages;

    if (page_states_claim(states, span->first_page, span->n_pages,
                          ret_window) == 0) {
        return false;
    }
    page_window_bounds(ret_window, ret_first_page, &n_pages);
    return pager_read(pager, span->block, *ret_first_page, n_pages, buf);
}

static void load_span(Pager *pager, const PageSpan *span, PlacedBy by,
                      void *buf)
{
    PageWindow window;
    uint64_t first_page;

    if (claim_and_read(pager, span, &window, &first_page, buf)) {
        pager_place(pager, span->block, &window, buf, first_page, by);
    }
}

/* Keep the piece until there is a place for it; false: there is one now. */
static bool keep_piece(Pager *pager, StagedPiece *piece)
{
    pthread_mutex_lock(&pager->lock);
    bool kept = !pager->attached;
    if (kept) {
        g_queue_push_tail(&pager->staged, piece);
        pager->staged_bytes += piece->len_bytes;
    }
    pthread_mutex_unlock(&pager->lock);
    return kept;
}

static void stage_span(Pager *pager, const PageSpan *span)
{
    StagedPiece *piece = new_piece(pager, span->n_pages);

    if (!piece) {
        pthread_mutex_lock(&pager->lock);
        pager->config.max_staged_bytes = 0;
        pthread_mutex_unlock(&pager->lock);
        return;
    }
    piece->block = span->block;
    if (!claim_and_read(pager, span, &piece->window, &piece->first_page,
                        piece->buf)) {
        free_piece(piece);
    } else if (!keep_piece(pager, piece)) {
        place_piece(pager, piece);
    }
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
        if (task->by == PLACED_BY_REST) {
            give_way(self);
        }
        load_span(pager, &task->span, task->by, self->buf);
        break;
    case TASK_STAGE:
        stage_span(pager, &task->span);
        break;
    case TASK_PLACE_STAGED:
        place_piece(pager, task->piece);
        break;
    case TASK_END_RECORDING:
        pager_end_recording(pager);
        break;
    case TASK_END_LEARNING:
        pager_end_learning(pager);
        break;
    case TASK_RELEASE_HELD:
        pager_release_held(pager, self->buf);
        break;
    case TASK_FINISH:
        pager_finish(pager);
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
