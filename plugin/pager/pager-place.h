/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading pieces and placing them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/pager/pager-config.h"
#include "plugin/pager/piece.h"

/* Read a claimed piece now, since somebody waits for it; tries again, and at
 * last waits for pager_retry().  Returns false when the pager ends. */
bool pager_read(Pager *pager, Piece *piece);

/* The same for a piece that nobody waits for. */
bool pager_read_ahead(Pager *pager, Piece *piece);

/* Place the pages of a read piece that nobody else has taken; wakes who waits
 * for them.  Returns false when the pager ends. */
bool pager_place(Pager *pager, Piece *piece);

/* Place a page of zeroes unless one is there, and wake who waits. */
void pager_place_zero(Pager *pager, size_t block, uint64_t page);

/* So many more pages need no loading; the last one ends the load. */
void pager_count_placed(Pager *pager, uint64_t n_pages);
