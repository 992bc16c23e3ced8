/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fault threads' part of the pager: serve the page that somebody waits
 * for.  Until that is woken, no lock is taken but those that threads of
 * ordinary priority hold for moments: LoadStats.lock, and while an observation
 * is under way observe_lock and the recorder's.
 */
#include "plugin/pager/pager-fault.h"

#include <errno.h>
#include <sched.h>

#include "plugin/pager/pager-check.h"
#include "plugin/pager/pager-fail.h"
#include "plugin/pager/pager-guard.h"
#include "plugin/pager/pager-observe.h"
#include "plugin/pager/pager-place.h"
#include "plugin/pager/pager-plan.h"
#include "plugin/pager/pager-read.h"
#include "plugin/pager/pager-state.h"
#include "util/clock.h"

/* The block that has the address; false: none of ours. */
static bool find_page(const Pager *pager, uint64_t address, size_t *ret_block,
                      uint64_t *ret_page)
{
    size_t low = 0;
    size_t high = pager->n_attached_blocks;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const PagerBlock *block = pager->attached_blocks[middle];

        if (address < block->host) {
            high = middle;
        } else if (address - block->host >= block->layout->len_bytes) {
            low = middle + 1;
        } else {
            *ret_block = (size_t)(block - pager->blocks);
            *ret_page = (address - block->host) / block->unit_bytes;
            return true;
        }
    }
    return false;
}

/* Leave word for the recorder and the plan that the guest has come to this
 * page; was_pending: nobody else was at it.  Returns as what it will have been
 * placed: while learning, a page in flight may be one that is held back. */
static PlacedBy note_touch(Pager *pager, size_t block, uint64_t page,
                           const UffdFault *fault, bool was_pending)
{
    uint64_t now_us = monotonic_us();
    bool in_order = pager_plan_has(pager, block, page);
    bool may_be_held =
        !was_pending && pager->config.observe.kind == OBSERVE_LEARNING;

    /* Relaxed: a hint for the size of the next pieces. */
    atomic_store_explicit(&pager->last_fault_us, now_us, memory_order_relaxed);
    pager_guard_note_fault(pager, in_order);
    if (in_order) {
        pager_plan_leave_word(pager, block, page);
    }
    pager_note_touch(pager, block, page,
                     fault->is_write ? PAGE_ACCESS_WRITE : PAGE_ACCESS_READ,
                     now_us);
    return in_order && !may_be_held ? PLACED_LATE : PLACED_BY_FAULT;
}

/* Read and place the page, claimed by us or in flight elsewhere.  Returns what
 * reading it did, 0 or -errno. */
static int load_page(Pager *pager, FaultWorker *worker, Piece *piece)
{
    piece->read.buf = worker->buf;
    int rc = pager_read(pager, piece, &worker->slot);

    if (rc == 0) {
        pager_place(pager, piece);
    } else {
        pager_park(pager, piece, piece->read.span.first_page, "reading", -rc);
    }
    return rc;
}

static void serve_demand(Pager *pager, FaultWorker *worker, size_t block,
                         uint64_t page, const UffdFault *fault)
{
    PageStates *states = &pager->blocks[block].states;
    const PageSpan span = {block, page, 1};
    Piece piece = {0};
    bool was_pending = piece_claim(&piece, states, &span, PLACED_BY_FAULT);

    if (was_pending || page_states_is_owed(states, page)) {
        piece_set_page(&piece, block, page,
                       note_touch(pager, block, page, fault, was_pending));
        piece.waited_for = true;
        (void)load_page(pager, worker, &piece);
    }
}

static void serve_zero(Pager *pager, size_t block, uint64_t page)
{
    Piece piece = {0};

    piece_set_page(&piece, block, page, PLACED_BY_FAULT);
    piece.waited_for = true;
    piece.is_zero = true;
    pager_place_zero(pager, &piece);
}

/* The page is in the memory that guest RAM is mapped from. */
static bool is_mapped(const Pager *pager, size_t block, uint64_t page)
{
    return pager->config.source->memory &&
           page_source_block_has_page(pager->blocks[block].layout, page);
}

static void wake(const PagerBlock *block, uint64_t page)
{
    block->placer.ops->wake(&block->placer,
                            block->host + page * block->unit_bytes,
                            block->unit_bytes);
}

void pager_handle_fault(void *opaque, unsigned worker, const UffdFault *fault)
{
    Pager *pager = opaque;
    size_t block;
    uint64_t page;

    if (!find_page(pager, fault->address, &block, &page)) {
        return;
    }
    LoadStats *stats = pager->config.stats;
    bool demand = !page_states_is_placed(&pager->blocks[block].states, page);
    uint64_t begin_us = load_stats_fault_begin(stats, fault->thread_id, demand);

    if (demand) {
        serve_demand(pager, &pager->fault_workers[worker], block, page, fault);
    } else if (is_mapped(pager, block, page)) {
        wake(&pager->blocks[block], page);
    } else {
        serve_zero(pager, block, page);
    }
    load_stats_fault_end(stats, fault->thread_id, begin_us, demand);
}

/* ---- the same for somebody who does not touch the page ---- */

/* Whether the page is placed by now, having waited for whoever is at it: for as
 * long as placing takes. */
static bool await_placed(const PageStates *states, uint64_t page)
{
    while (!page_states_is_placed(states, page)) {
        if (page_states_is_owed(states, page)) {
            return false;
        }
        sched_yield();
    }
    return true;
}

static int fetch(Pager *pager, FaultWorker *worker, size_t block, uint64_t page)
{
    PageStates *states = &pager->blocks[block].states;
    const PageSpan span = {block, page, 1};
    const UffdFault touch = {0};
    Piece piece = {0};
    int rc = 0;

    if (page_states_is_placed(states, page)) {
        return 0;
    }
    uint64_t begin_us = load_stats_fault_begin(pager->config.stats, 0, true);
    bool was_pending = piece_claim(&piece, states, &span, PLACED_BY_FAULT);
    if (was_pending || page_states_is_owed(states, page)) {
        piece_set_page(&piece, block, page,
                       note_touch(pager, block, page, &touch, was_pending));
        rc = load_page(pager, worker, &piece);
    }
    load_stats_fault_end(pager->config.stats, 0, begin_us, true);
    if (await_placed(states, page)) {
        return 0;
    }
    return rc < 0 ? rc : -EIO;
}

int pager_fetch(Pager *pager, unsigned fetcher, size_t block, uint64_t page)
{
    unsigned worker = pager->config.n_fault_threads + fetcher;

    if (!pager_enter(pager)) {
        return -ESHUTDOWN;
    }
    int rc = fetch(pager, &pager->fault_workers[worker], block, page);
    pager_leave(pager);
    return rc;
}
