/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/simulate-eager.h"

/* Claim the first stretch of pending pages from `from` on, up to max_bytes
 * and before end. */
static bool claim(Eager *eager, uint64_t from, uint64_t end,
                  uint64_t max_bytes, SimRun *ret_run)
{
    uint64_t *pending = eager->image->pending;
    uint64_t first = sim_next_set(pending, from, end);
    const SimBlock *block;

    if (first == end) {
        return false;
    }
    block = sim_image_block_of(eager->image, first);
    end = MIN(end, block->first + block->n_pages);
    end = MIN(end, first + MAX(max_bytes / block->page_bytes, 1));
    end = sim_next_clear(pending, first, end);
    sim_clear(pending, first, end);
    *ret_run = (SimRun){first, end - first};
    return true;
}

static bool claim_from_plan(Eager *eager, uint64_t max_bytes, SimRun *ret_run)
{
    SimRun run;

    while (sim_plan_current(eager->plan, &run)) {
        if (claim(eager, run.first, run.first + run.n_pages, max_bytes,
                  ret_run)) {
            return true;
        }
        sim_plan_finish_run(eager->plan);
    }
    return false;
}

static bool claim_from_rest(Eager *eager, uint64_t max_bytes, SimRun *ret_run)
{
    if (!claim(eager, eager->rest_cursor, eager->image->n_pages, max_bytes,
               ret_run)) {
        return false;
    }
    eager->rest_cursor = ret_run->first + ret_run->n_pages;
    return true;
}

static bool claim_next(Eager *eager, uint64_t now_ns, SimRun *ret_run)
{
    uint64_t max_bytes = now_ns < eager->busy_until_ns
                             ? eager->params->busy_piece_bytes
                             : eager->params->piece_bytes;

    if (!eager->in_rest) {
        if (eager->plan && claim_from_plan(eager, max_bytes, ret_run)) {
            return true;
        }
        eager->in_rest = true;
    }
    return claim_from_rest(eager, max_bytes, ret_run);
}

static void begin_read(Eager *eager, uint64_t now_ns)
{
    SimRun run;
    uint64_t len_bytes;

    eager->now_ns = now_ns;
    if (!claim_next(eager, now_ns, &run)) {
        eager->done = true;
        return;
    }
    len_bytes =
        run.n_pages * sim_image_block_of(eager->image, run.first)->page_bytes;
    eager->last_end_ns = storage_model_read(eager->storage, now_ns, len_bytes, false);
    if (!eager->in_rest) {
        eager->order_done_ns = eager->last_end_ns;
    }
    eager->pieces[(eager->head + eager->n) % STORAGE_MAX_QUEUE] =
        (EagerPiece){run, eager->last_end_ns};
    eager->n++;
}

void eager_advance(Eager *eager, uint64_t until_ns)
{
    while (!eager->done) {
        uint64_t begin_ns = eager->now_ns;

        if (eager->n == eager->params->eager_reads) {
            begin_ns = MAX(begin_ns, eager->pieces[eager->head].end_ns);
        }
        /* The storage forgets what ends before the moment it is asked about,
         * so never ask about one that has not come yet. */
        if (begin_ns >= until_ns) {
            return;
        }
        begin_ns = storage_model_slot(eager->storage, begin_ns);
        if (begin_ns >= until_ns) {
            return;
        }
        while (eager->n > 0 && eager->pieces[eager->head].end_ns <= begin_ns) {
            eager->head = (eager->head + 1) % STORAGE_MAX_QUEUE;
            eager->n--;
        }
        begin_read(eager, begin_ns);
    }
}

uint64_t eager_in_flight_until(const Eager *eager, uint64_t page)
{
    for (size_t i = 0; i < eager->n; i++) {
        const EagerPiece *piece =
            &eager->pieces[(eager->head + i) % STORAGE_MAX_QUEUE];

        if (page - piece->run.first < piece->run.n_pages) {
            return piece->end_ns;
        }
    }
    return 0;
}
