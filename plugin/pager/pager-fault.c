/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fault threads' part of the pager: serve the page that somebody waits
 * for.
 */
#include "plugin/pager/pager-fault.h"

#include "plugin/pager/pager-place.h"
#include "plugin/pager/pager-state.h"
#include "util/clock.h"

/* The block that has the address, as an index; false: none of ours. */
static bool find_page(const Pager *pager, uint64_t address, size_t *ret_block,
                      uint64_t *ret_page)
{
    for (size_t i = 0; i < pager->n_blocks; i++) {
        const PagerBlock *block = &pager->blocks[i];

        if (block->host != 0 && address >= block->host &&
            address - block->host < block->layout->len_bytes) {
            *ret_block = i;
            *ret_page = (address - block->host) / block->unit_bytes;
            return true;
        }
    }
    return false;
}

/* Tell the recorder and the replay that the guest has come to this page;
 * was_pending: nobody else was at it.  Returns as what it will have been
 * placed: while learning, a page in flight may be one that is held back. */
static PlacedBy note_touch(Pager *pager, size_t block, uint64_t page,
                           const UffdFault *fault, bool was_pending)
{
    uint64_t now_us = monotonic_us();
    bool in_order;

    /* Relaxed: a hint for the size of the next pieces. */
    atomic_store_explicit(&pager->last_fault_us, now_us, memory_order_relaxed);
    pthread_mutex_lock(&pager->lock);
    if (pager->observation == OBSERVATION_ON) {
        recorder_note(pager->config.observe.touched, (uint32_t)block, page,
                      fault->is_write ? PAGE_ACCESS_WRITE : PAGE_ACCESS_READ,
                      now_us);
    }
    in_order = pager->replay && pager->stage == STAGE_ORDER &&
               replay_steer(pager->replay, block, page);
    pthread_mutex_unlock(&pager->lock);
    bool may_be_held =
        !was_pending && pager->config.observe.kind == OBSERVE_LEARNING;
    return in_order && !may_be_held ? PLACED_LATE : PLACED_BY_FAULT;
}

/* Read and place the page, claimed by us or in flight elsewhere. */
static void load_page(Pager *pager, unsigned worker, Piece *piece)
{
    piece->read.buf =
        (uint8_t *)pager->fault_bufs + worker * pager->max_unit_bytes;
    if (pager_read(pager, piece)) {
        pager_place(pager, piece);
    }
}

void pager_handle_fault(void *opaque, unsigned worker, const UffdFault *fault)
{
    Pager *pager = opaque;
    size_t block;
    uint64_t page;

    if (!find_page(pager, fault->address, &block, &page)) {
        return;
    }
    PageStates *states = &pager->blocks[block].states;
    LoadStats *stats = pager->config.stats;
    bool demand = !page_states_is_placed(states, page);
    uint64_t begin_us = load_stats_fault_begin(stats, fault->thread_id, demand);

    if (!demand) {
        pager_place_zero(pager, block, page);
    } else {
        Piece piece = {.why = PLACED_BY_FAULT};
        const PageSpan span = {block, page, 1};
        bool was_pending = piece_claim(&piece, states, &span, piece.why);

        if (was_pending || page_states_is_owed(states, page)) {
            piece_set_page(&piece, block, page);
            piece.why = note_touch(pager, block, page, fault, was_pending);
            load_page(pager, worker, &piece);
        }
    }
    load_stats_fault_end(stats, fault->thread_id, begin_us, demand);
}
