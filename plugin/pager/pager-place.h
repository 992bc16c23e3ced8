/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Placing pieces.
 */
#pragma once

#include <stdint.h>

#include "plugin/pager/pager-config.h"
#include "plugin/pager/piece.h"

/* Place the pages of a read piece that nobody else has taken, and wake who
 * waits for them.  What cannot be placed is parked. */
void pager_place(Pager *pager, Piece *piece);

/* So many pages have been placed, or are not to be placed any more. */
void pager_count_placed(Pager *pager, uint64_t n_pages);

/* Place a page of zeroes unless one is there, and wake who waits.  If that
 * cannot be, it is parked. */
void pager_place_zero(Pager *pager, Piece *piece);
