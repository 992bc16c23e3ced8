/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Placing pages.  A page that cannot be placed is never counted as placed.
 */
#include "plugin/pager/pager-place.h"

#include "plugin/pager/pager-fail.h"
#include "plugin/pager/pager-huge.h"
#include "plugin/pager/pager-state.h"
#include "plugin/pager/pager-units.h"

static uint64_t address_of(const PagerBlock *block, uint64_t page)
{
    return block->host + page * block->unit_bytes;
}

/* Place the pages from page on, as many as can be: the piece's next run.
 * Returns how many were; *ret_error: what the next one met, or 0. */
static uint64_t place_run(const PagerBlock *block, const Piece *piece,
                          uint64_t page, uint64_t n_pages, int *ret_error)
{
    const Placer *placer = &block->placer;
    const uint8_t *src =
        (const uint8_t *)piece->read.buf +
        (page - piece->read.span.first_page) * block->unit_bytes;
    uint64_t done;
    int rc = placer->ops->place(placer, address_of(block, page), src,
                                n_pages * block->unit_bytes, &done);

    *ret_error = -rc;
    return done / block->unit_bytes;
}

/* What could not be placed of a piece: pages and their errors. */
typedef struct Misplaced {
    size_t n_pages;
    struct {
        uint64_t page;
        int error;
    } pages[PAGE_WINDOW_MAX_PAGES];
} Misplaced;

/* Move the piece's huge page.  Returns one behind the last page that is in
 * place: what could not be moved is still there to be copied. */
static uint64_t move_huge_page(const PagerBlock *block, Piece *piece)
{
    const Placer *placer = &block->placer;
    const PageSpan *span = &piece->read.span;
    uint64_t done;

    (void)placer->ops->move(placer, address_of(block, span->first_page),
                            piece->read.buf, span->n_pages * block->unit_bytes,
                            &done);
    piece->is_spent = true;
    return span->first_page + done / block->unit_bytes;
}

/* Place the window's pages, n_taken and all taken.  Those that cannot be leave
 * the window, for *misplaced. */
static void place_window(const PagerBlock *block, Piece *piece,
                         uint64_t n_taken, Misplaced *misplaced)
{
    uint64_t page = 0;
    uint64_t run_pages = 0;

    if (piece->is_huge && pager_huge_is_whole(block, piece, n_taken)) {
        page = move_huge_page(block, piece);
    }
    misplaced->n_pages = 0;
    while (page_window_next_run(&piece->window, &page, &run_pages)) {
        int error;
        uint64_t done = place_run(block, piece, page, run_pages, &error);

        page += done;
        if (error != 0) {
            page_window_remove(&piece->window, page);
            misplaced->pages[misplaced->n_pages].page = page;
            misplaced->pages[misplaced->n_pages].error = error;
            misplaced->n_pages++;
            page++;
        }
    }
}

void pager_count_placed(Pager *pager, uint64_t n_pages)
{
    /* Release: the thread that finishes sees all that was placed. */
    uint64_t before = atomic_fetch_sub_explicit(&pager->n_unplaced, n_pages,
                                                memory_order_acq_rel);

    if (before == n_pages) {
        pthread_mutex_lock(&pager->lock);
        pthread_cond_broadcast(&pager->changed);
        pthread_cond_broadcast(&pager->to_place);
        pthread_mutex_unlock(&pager->lock);
    }
}

/* Others may try these pages again; and so shall we. */
static void give_up(Pager *pager, const Piece *piece,
                    const Misplaced *misplaced)
{
    PagerBlock *block = &pager->blocks[piece->read.span.block];

    for (size_t i = 0; i < misplaced->n_pages; i++) {
        page_states_give_back(&block->states, misplaced->pages[i].page);
        pager_park(pager, piece, misplaced->pages[i].page, "placing",
                   misplaced->pages[i].error);
    }
}

void pager_place(Pager *pager, Piece *piece)
{
    PagerBlock *block = &pager->blocks[piece->read.span.block];
    size_t n_taken = page_states_take(&block->states, &piece->window);
    uint64_t first_page;
    uint64_t n_pages;
    Misplaced misplaced;

    if (n_taken == 0) {
        return;
    }
    page_window_bounds(&piece->window, &first_page, &n_pages);
    place_window(block, piece, n_taken, &misplaced);
    size_t n_placed = n_taken - misplaced.n_pages;
    page_states_set_placed(&block->states, &piece->window);
    load_stats_placed(pager->config.stats, piece->why,
                      pager_units_count_pages(pager, block, &piece->window));
    if (piece->is_packed) {
        load_stats_pack_pages(pager->config.stats, n_placed);
    }
    give_up(pager, piece, &misplaced);
    /* Only now: a fault handled while the page was being placed counts on
     * it, or comes again for a page that was given up. */
    block->placer.ops->wake(&block->placer, address_of(block, first_page),
                            n_pages * block->unit_bytes);
    pager_unpark(pager, piece->read.span.block, first_page, n_pages);
    if (n_placed > 0) {
        pager_count_placed(pager, n_placed);
    }
}

void pager_place_zero(Pager *pager, Piece *piece)
{
    const PageSpan *span = &piece->read.span;
    const PagerBlock *block = &pager->blocks[span->block];
    int rc = block->placer.ops->zero(&block->placer,
                                     address_of(block, span->first_page));

    if (rc < 0) {
        pager_park(pager, piece, span->first_page, "placing", -rc);
    } else {
        pager_unpark_zero(pager, span->block, span->first_page);
    }
}
