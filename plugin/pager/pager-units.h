/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Blocks that are loaded in units of several of the source's pages: RAM of
 * reserved huge pages (hugetlb), of which the kernel places whole ones only.
 *
 * All page numbers of such a block are its units' (pager-regroup.h); four
 * things know more:
 *   - a read (pager-read.c) is translated, and what is not in the file is made
 *     zero in the buffer, for all of a unit is placed;
 *   - the plan translates what the order gives, and where the guest is;
 *   - a touch of a unit is recorded as one of all its pages;
 *   - the statistics count pages.
 * A pack is of no use for such a block: it has pages, and not all of a unit.
 *
 * Discarding a huge page gives up its reservation, so somebody else may take
 * the last free one.  Who touches a hole then gets a signal that kills QEMU.
 * So every unit is loaded, also one that has nothing in the file, where the
 * memory has a reservation; and a lack of huge pages is one of the load, which
 * is told and can be mended.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "plugin/pager/pager-state.h"

/* The units that have a page of span, which is of the source's pages; and all
 * pages that the units of span have. */
PageSpan pager_units_of_pages(const Pager *pager, const PageSpan *span);
PageSpan pager_units_to_pages(const Pager *pager, const PageSpan *span);

/* The same read for the source, into the same buffer. */
PageRead pager_units_read_of(const Pager *pager, const PageRead *units);

/* Make zero what is not in the file, if read is of units of several pages. */
void pager_units_fill_holes(const Pager *pager, const PageRead *read);

/* How many pages of the window's units are in the file. */
uint64_t pager_units_count_pages(const Pager *pager, const PagerBlock *block,
                                 const PageWindow *window);

/* page_states_drop(); *ret_in_file: of the units dropped, the pages that are in
 * the file. */
uint64_t pager_units_drop(const Pager *pager, PagerBlock *block,
                          uint64_t first_unit, uint64_t n_units,
                          uint64_t *ret_in_file);

/* Free what regrouping has made for the block. */
void pager_units_clear(PagerBlock *block);

/* ---- of the source's pages ---- */

/* The block, as the source has it. */
const PageSourceBlock *pager_units_pages_of(const Pager *pager,
                                            const PagerBlock *block);

/* How many of these pages are in the file; what is behind the last page is
 * not. */
uint64_t pager_units_in_file(const PageSourceBlock *layout, uint64_t first_page,
                             uint64_t n_pages);

/* Of a read of pages, make zero those that are not in the file. */
void pager_units_fill_pages(const PageSourceBlock *layout,
                            const PageRead *pages);
