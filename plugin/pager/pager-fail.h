/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages that cannot be read or placed, and reporting them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/pager/pager-config.h"
#include "plugin/pager/piece.h"

/* The page, one of the piece's, cannot be loaded: see to it that it is tried
 * again, unless somebody else has placed it meanwhile.  what: a constant. */
void pager_park(Pager *pager, const Piece *piece, uint64_t page,
                const char *what, int error);

/* Pages of these may have been placed, or dropped. */
void pager_unpark(Pager *pager, size_t block, uint64_t first_page,
                  uint64_t n_pages);

/* The page's zeroes are in place. */
void pager_unpark_zero(Pager *pager, size_t block, uint64_t page);

/* A parked page was tried, whatever came of it. */
void pager_end_retry(Pager *pager, size_t block, uint64_t page);

/* Blocks are attached now: nobody waits for pages of others. */
void pager_forget_unattached_locked(Pager *pager);

/* The order's last page may just have been loaded. */
void pager_note_order_locked(Pager *pager);

/* Whether the snapshot is unchanged.  If not, that is reported, and the pager
 * reads nothing more. */
bool pager_check_source(Pager *pager);

/* The watching thread; opaque is the Pager.  It reports failures and slow
 * reads. */
void *pager_watch_thread(void *opaque);
