/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/simulate-eager.h"

/* Claim the pending pages from `from` on, up to max_bytes and before end, in
 * one piece; what lies between them is read along if it is little. */
static bool claim(Eager *eager, uint64_t from, uint64_t end, uint64_t max_bytes,
                  SimRun *ret_run)
{
    uint64_t *pending = eager->image->pending;
    uint64_t first = sim_next_set(pending, from, end);
    const SimBlock *block;
    uint64_t hole, next, stop;

    if (first == end) {
        return false;
    }
    block = sim_image_block_of(eager->image, first);
    hole = eager->params->read_hole_bytes / block->page_bytes;
    end = MIN(end, block->first + block->n_pages);
    end = MIN(end, first + MAX(max_bytes / block->page_bytes, 1));
    next = first;
    do {
        stop = sim_next_clear(pending, next, end);
        next = sim_next_set(pending, stop, end);
    } while (next < end && next - stop <= hole);
    sim_clear(pending, first, stop);
    *ret_run = (SimRun){first, stop - first};
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

static bool claim_next(Eager *eager, SimRun *ret_run)
{
    uint64_t max_bytes = eager->now_ns < eager->busy_until_ns
                             ? eager->params->busy_piece_bytes
                             : eager->params->piece_bytes;

    return eager->in_rest ? claim_from_rest(eager, max_bytes, ret_run)
                          : claim_from_plan(eager, max_bytes, ret_run);
}

static void begin_read(Eager *eager, const SimRun *run)
{
    uint64_t len_bytes =
        run->n_pages * sim_image_block_of(eager->image, run->first)->page_bytes;

    eager->last_end_ns =
        storage_model_read(eager->storage, eager->now_ns, len_bytes, false);
    if (!eager->in_rest) {
        eager->order_done_ns = eager->last_end_ns;
    }
    eager->pieces[(eager->head + eager->n) % STORAGE_MAX_QUEUE] =
        (EagerPiece){*run, eager->last_end_ns};
    eager->n++;
}

/* What it does at now_ns, when it can read again. */
static void step(Eager *eager, uint64_t now_ns)
{
    SimRun run;

    eager->now_ns = now_ns;
    if (claim_next(eager, &run)) {
        begin_read(eager, &run);
    } else if (eager->in_rest) {
        eager->done = true;
    } else {
        eager_begin_rest(eager);
    }
}

void eager_begin_rest(Eager *eager)
{
    eager->in_rest = true;
    eager->now_ns = MAX(eager->now_ns, eager->params->head_start_ns);
}

/* Let go of the pieces that have ended by now_ns. */
static void place_pieces(Eager *eager, uint64_t now_ns)
{
    while (eager->n > 0 && eager->pieces[eager->head].end_ns <= now_ns) {
        const SimRun *run = &eager->pieces[eager->head].run;

        sim_set(eager->image->placed, run->first, run->first + run->n_pages);
        eager->head = (eager->head + 1) % STORAGE_MAX_QUEUE;
        eager->n--;
    }
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
        place_pieces(eager, begin_ns);
        step(eager, begin_ns);
    }
}

uint64_t eager_in_flight_until(const Eager *eager, uint64_t page)
{
    /* Later pieces may have read along what an earlier one had claimed. */
    for (size_t i = 0; i < eager->n; i++) {
        const EagerPiece *piece =
            &eager->pieces[(eager->head + i) % STORAGE_MAX_QUEUE];

        if (page - piece->run.first < piece->run.n_pages) {
            return piece->end_ns;
        }
    }
    g_assert_not_reached();
}
