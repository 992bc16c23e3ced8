/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Huge pages of the rest, and of an order that has most of what is in them
 * (order-density.h).
 *
 * A stretch of a huge page, of which nothing has been placed yet, is claimed as
 * a whole, read into a huge page of our own, and that is moved to where it
 * belongs: a page table entry changes its place, and no byte is copied.  What
 * is not in the file is zero in it.
 *
 * Why that is right:
 *   - It is moved only if the right to place was got for each of its pages that
 *     are in the file; nobody else places them, and none of them was given
 *     back before.  One given back later may show its old contents, as one that
 *     is copied late (pager-removal.h).
 *   - A page that is not in the file is zero until somebody has touched it.
 *     Whoever touches one, also before or while the huge page is moved, has a
 *     page there, by a fault thread's zeroes; and the kernel moves nothing over
 *     a page that is there: it moves what is before it page by page, and says
 *     so.  The rest is copied, only what is in the file.
 *   - A fault on one of its pages is served as any other: by a read of its own
 *     if the page is in flight, and then the stretch is not moved any more; by
 *     the wake after it was moved.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plugin/pager/pager-state.h"

/* Find out for each block whether it is placed so: PagerBlock.huge_pages.
 * Once, when the rest begins, or an order that asks for it (Plan.is_dense); by
 * one thread, with no piece under way, so nobody else reads these.  Returns
 * the bytes of a huge page; 0: no block is placed so. */
uint64_t pager_huge_find(Pager *pager);

/* Make zero what is not in the file of a piece that is a whole huge page. */
void pager_huge_fill_holes(const Pager *pager, const Piece *piece);

/* Whether a piece that is a whole huge page can be moved: it has the right to
 * place n_taken pages. */
bool pager_huge_is_whole(const PagerBlock *block, const Piece *piece,
                         uint64_t n_taken);

/* Whether the pages from first_page on, a multiple of huge_pages, are to be
 * one; a hint. */
bool pager_huge_fits(const PagerBlock *block, uint64_t first_page);
