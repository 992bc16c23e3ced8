/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Blocks that are loaded in units of several of the source's pages: RAM of
 * reserved huge pages (hugetlb), of which the kernel places whole ones only.
 *
 * Which blocks these are shows when memory is attached, and until then every
 * block is staged in the source's pages.  pager_units_regroup() waits until
 * nobody is at that, forgets what was staged of such a block, for the order to
 * give it again, and puts a layout and states of units in place of those of
 * pages.  From then on all pages of the block are units to the pager; four
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
 *
 * A unit that is so large that nobody can wait for its fault makes its block a
 * whole one: pager_attach() itself loads it, and it is never registered.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "plugin/pager/pager-state.h"

/* Group the pages of the blocks that have a host and need it.  Before memory is
 * taken over.  Returns false with PAGER_ERROR; nothing is lost then. */
bool pager_units_regroup(Pager *pager, GError **error);

/* Load the whole blocks, whose memory was discarded. */
bool pager_units_load_whole(Pager *pager, GError **error);

void pager_units_clear(PagerBlock *block);

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
