/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/simulate/simulate-eager.h"

#include <string.h>

#include "profiler/orders/read-ahead.h"

/* What a piece's size is counted in: the plugin only loads where all pages
 * are of one size. */
static uint64_t usual_page_bytes(const Eager *eager)
{
    return eager->image->blocks->len > 0
               ? sim_image_block(eager->image, 0)->page_bytes
               : 1;
}

static uint64_t piece_pages(const Eager *eager, uint64_t now_ns)
{
    const SimulateParams *params = eager->params;
    uint64_t bytes = params->piece_bytes;

    if (now_ns < eager->busy_until_ns) {
        bytes = read_ahead_busy_bytes(params->busy_piece_bytes, bytes,
                                      eager->n_faults);
    }

    return MAX(bytes / usual_page_bytes(eager), 1);
}

void eager_init(Eager *eager, SimImage *image, Replay *replay,
                StorageModel *storage, const SimulateParams *params)
{
    *eager = (Eager){
        .image = image,
        .replay = replay,
        .storage = storage,
        .params = params,
        .threads = g_new0(EagerThread, params->n_eager_threads),
    };
    uint64_t max_pages = MAX(params->piece_bytes, params->busy_piece_bytes) /
                         usual_page_bytes(eager);
    for (size_t i = 0; i < params->n_eager_threads; i++) {
        eager->threads[i].claimed = g_new0(uint64_t, max_pages / 64 + 2);
        eager->threads[i].at_ns = SIMULATE_NEVER;
    }
}

void eager_clear(Eager *eager)
{
    for (size_t i = 0; i < eager->params->n_eager_threads; i++) {
        g_free(eager->threads[i].claimed);
    }
    g_free(eager->threads);
}

static void all_go_on_at(Eager *eager, uint64_t at_ns)
{
    for (size_t i = 0; i < eager->params->n_eager_threads; i++) {
        eager->threads[i].at_ns = at_ns;
    }
}

/* Not before the guest could run, since QEMU has no place for pages that are
 * not in the order earlier. */
static void begin_rest(Eager *eager, uint64_t now_ns)
{
    eager->in_rest = true;
    eager->order_done_ns = now_ns;
    all_go_on_at(eager, MAX(now_ns, eager->params->head_start_ns));
}

void eager_start(Eager *eager)
{
    if (eager->replay) {
        all_go_on_at(eager, 0);
    } else {
        begin_rest(eager, 0);
    }
}

/* Pages in a row that are to be claimed if they are pending: the next of the
 * replay, or of the rest. */
static bool next_of_order(Eager *eager, uint64_t max_pages, SimRun *ret_run)
{
    PageSpan span;

    while (replay_next(eager->replay, max_pages, &span)) {
        uint64_t first =
            sim_image_block(eager->image, span.block)->first + span.first_page;
        uint64_t end = first + span.n_pages;

        if (sim_next_set(eager->image->pending, first, end) < end) {
            *ret_run = (SimRun){first, span.n_pages};
            return true;
        }
    }
    return false;
}

static bool next_of_rest(Eager *eager, uint64_t max_pages, SimRun *ret_run)
{
    const SimImage *image = eager->image;
    uint64_t first =
        sim_next_set(image->pending, eager->rest_cursor, image->n_pages);

    eager->rest_cursor = first;
    if (first == image->n_pages) {
        return false;
    }
    const SimBlock *block = sim_image_block_of(image, first);
    uint64_t left = block->first + block->n_pages - first;
    *ret_run = (SimRun){first, MIN(max_pages, left)};
    eager->rest_cursor = first + ret_run->n_pages;
    return true;
}

static uint64_t run_end(const SimRun *run)
{
    return run->first + run->n_pages;
}

/* Claim what is pending in run, which is something. */
static void claim(Eager *eager, EagerThread *thread, const SimRun *run)
{
    uint64_t *pending = eager->image->pending;
    uint64_t end = run_end(run);
    uint64_t first = sim_next_set(pending, run->first, end);
    uint64_t base = first / 64 * 64;
    uint64_t stop = first;

    memset(thread->claimed, 0,
           ((end - 1) / 64 - first / 64 + 1) * sizeof(*pending));
    for (uint64_t page = first; page < end;
         page = sim_next_set(pending, stop, end)) {
        stop = sim_next_clear(pending, page, end);
        sim_set(thread->claimed, page - base, stop - base);
        sim_clear(pending, page, stop);
    }
    thread->piece = (SimRun){first, stop - first};
    thread->next = first;
}

/* Begin to read the next pages of the piece: up to a hole in the file that
 * is too large to be read along. */
static void read_on(Eager *eager, EagerThread *thread)
{
    const uint64_t *in_file = eager->image->in_file;
    uint64_t page_bytes =
        sim_image_block_of(eager->image, thread->next)->page_bytes;
    uint64_t max_hole = eager->params->read_hole_bytes / page_bytes;
    uint64_t end = run_end(&thread->piece);
    uint64_t first = thread->next;
    uint64_t stop;

    do {
        stop = sim_next_clear(in_file, thread->next, end);
        thread->next = sim_next_set(in_file, stop, end);
    } while (thread->next < end && thread->next - stop <= max_hole);
    thread->request = (SimRun){first, stop - first};
    thread->at_ns = storage_model_read(eager->storage, thread->at_ns,
                                       (stop - first) * page_bytes, false);
    eager->last_end_ns = MAX(eager->last_end_ns, thread->at_ns);
}

static void place(Eager *eager, EagerThread *thread)
{
    uint64_t base = thread->piece.first / 64;

    for (uint64_t i = base; i * 64 < run_end(&thread->piece); i++) {
        eager->image->placed[i] |= thread->claimed[i - base];
    }
    thread->piece.n_pages = 0;
}

static bool is_any_busy(const Eager *eager)
{
    for (size_t i = 0; i < eager->params->n_eager_threads; i++) {
        if (eager->threads[i].piece.n_pages > 0) {
            return true;
        }
    }
    return false;
}

/* The thread has no piece.  What it finds it begins to read in its next
 * step; where it finds nothing, it waits for the last of the others to go on
 * with the rest. */
static void find_work(Eager *eager, EagerThread *thread)
{
    uint64_t now_ns = thread->at_ns;
    uint64_t max_pages = piece_pages(eager, now_ns);
    SimRun run;

    if (eager->in_rest ? next_of_rest(eager, max_pages, &run)
                       : next_of_order(eager, max_pages, &run)) {
        claim(eager, thread, &run);
        return;
    }
    thread->at_ns = SIMULATE_NEVER;
    if (!eager->in_rest && !is_any_busy(eager)) {
        begin_rest(eager, now_ns);
    }
}

/* What a thread does at its at_ns. */
static void step(Eager *eager, EagerThread *thread)
{
    if (thread->piece.n_pages == 0) {
        find_work(eager, thread);
    } else if (thread->next == run_end(&thread->piece)) {
        place(eager, thread);
    } else {
        uint64_t slot_ns = storage_model_slot(eager->storage, thread->at_ns);

        /* A fault that comes before then takes the slot. */
        if (slot_ns > thread->at_ns) {
            thread->request = (SimRun){thread->next, 0};
            thread->at_ns = slot_ns;
        } else {
            read_on(eager, thread);
        }
    }
}

static EagerThread *next_thread(Eager *eager)
{
    EagerThread *next = &eager->threads[0];

    for (size_t i = 1; i < eager->params->n_eager_threads; i++) {
        if (eager->threads[i].at_ns < next->at_ns) {
            next = &eager->threads[i];
        }
    }
    return next;
}

void eager_advance(Eager *eager, uint64_t until_ns)
{
    EagerThread *thread;

    while ((thread = next_thread(eager))->at_ns < until_ns) {
        step(eager, thread);
    }
    for (size_t i = 0; i < eager->params->n_eager_threads; i++) {
        thread = &eager->threads[i];
        if (thread->at_ns == until_ns && thread->piece.n_pages > 0 &&
            thread->next == run_end(&thread->piece)) {
            place(eager, thread);
        }
    }
}

static bool has_claimed(const EagerThread *thread, uint64_t page)
{
    return page - thread->piece.first < thread->piece.n_pages &&
           sim_test(thread->claimed, page - thread->piece.first / 64 * 64);
}

EagerProgress eager_progress(const Eager *eager, uint64_t page,
                             uint64_t *ret_end_ns)
{
    const EagerThread *thread = eager->threads;

    while (!has_claimed(thread, page)) {
        thread++;
        g_assert(thread < eager->threads + eager->params->n_eager_threads);
    }
    if (page >= thread->next) {
        return EAGER_NOT_READ;
    }
    if (page < thread->request.first) {
        return EAGER_READ;
    }
    *ret_end_ns = thread->at_ns;
    return EAGER_READING;
}
