/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Learning from a load that is prefetched.  Which pages the order lacked,
 * demand faults tell.  Which of its pages nobody needs any more cannot be seen
 * of a page that was placed ahead: no fault comes for it.  So a few stretches
 * of the order, other ones each time, are held back: claimed, but neither read
 * nor placed, until somebody touches them (the fault thread then serves them
 * as it does any page in flight) or the learning ends.
 */
#include "plugin/pager/pager-internal.h"

#include "profiler/orders/segments.h"

/* Pages are held back in pieces of at most so many. */
#define PIECE_PAGES 16

/* One piece in how many is held back. */
#define HOLD_ONE_IN 8

static void hold_piece(Pager *pager, size_t block, uint64_t first_page,
                       uint64_t n_pages)
{
    HeldPiece piece = {.block = block};

    if (page_states_claim(&pager->blocks[block].states, first_page, n_pages,
                          &piece.window) > 0) {
        g_array_append_val(pager->held, piece);
    }
}

static void hold_segment(Pager *pager, GRand *draw, size_t block,
                         uint64_t first_page, uint64_t n_pages)
{
    for (uint64_t done = 0; done < n_pages; done += PIECE_PAGES) {
        if (g_rand_int_range(draw, 0, HOLD_ONE_IN) == 0) {
            hold_piece(pager, block, first_page + done,
                       MIN(PIECE_PAGES, n_pages - done));
        }
    }
}

void pager_hold_back(Pager *pager, const PageOrder *order)
{
    const RamImage *snapshot = pager->config.snapshot;
    g_autoptr(GArray) segments = order_segments(order, NULL);
    GRand *draw = g_rand_new();

    for (guint i = 0; i < segments->len; i++) {
        const PageSegment *segment = segment_at(segments, i);
        const PageOrderBlock *known = page_order_block(order, segment->block);
        const RamImageBlock *block =
            ram_image_find_block(snapshot, known->name);

        if (block && block->page_bytes == known->page_bytes &&
            segment->first_page < block->n_pages) {
            hold_segment(
                pager, draw, (size_t)(block - snapshot->blocks),
                segment->first_page,
                MIN(segment->n_pages, block->n_pages - segment->first_page));
        }
    }
    g_rand_free(draw);
}

static void note_unused(Pager *pager, const HeldPiece *piece,
                        uint64_t *held_back, uint64_t *unused)
{
    const PageStates *states = &pager->blocks[piece->block].states;
    uint64_t first_page;
    uint64_t n_pages;

    page_window_bounds(&piece->window, &first_page, &n_pages);
    for (uint64_t page = first_page; page < first_page + n_pages; page++) {
        if (!page_window_has(&piece->window, page)) {
            continue;
        }
        ++*held_back;
        if (page_states_is_owed(states, page)) {
            ++*unused;
            recorder_note(pager->config.learning.unused, (uint32_t)piece->block,
                          page, PAGE_ACCESS_UNKNOWN, 0);
        }
    }
}

void pager_note_unused(Pager *pager)
{
    uint64_t held_back = 0;
    uint64_t unused = 0;

    for (guint i = 0; i < pager->held->len; i++) {
        const HeldPiece *piece = &g_array_index(pager->held, HeldPiece, i);

        if (pager->blocks[piece->block].host != 0) {
            note_unused(pager, piece, &held_back, &unused);
        }
    }
    load_stats_learned(pager->config.stats, held_back, unused);
}

/* Returns false when the pager ends. */
static bool release(Pager *pager, HeldPiece *piece, void *buf)
{
    uint64_t first_page;
    uint64_t n_pages;

    page_window_bounds(&piece->window, &first_page, &n_pages);
    return pager_read(pager, piece->block, first_page, n_pages, buf) &&
           pager_place(pager, piece->block, &piece->window, buf, first_page,
                       PLACED_BY_REST);
}

void pager_release_held(Pager *pager, void *buf)
{
    for (guint i = 0; i < pager->held->len; i++) {
        HeldPiece *piece = &g_array_index(pager->held, HeldPiece, i);

        if (pager->blocks[piece->block].host != 0 &&
            !release(pager, piece, buf)) {
            return;
        }
    }
}
