/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The order's pages from a pack, for the eager threads: a chunk's pages that
 * are still pending are claimed, unpacked and placed.  If the chunk cannot be
 * had, they are read from the snapshot instead, and the pack is left.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "plugin/pager/pager-config.h"
#include "plugin/pager/piece.h"
#include "plugin/pager/read-watch.h"

/* Load the next chunk.  piece: the job's, with a buffer of
 * READ_AHEAD_PIECE_BYTES; it is done with then.  NULL: memory is not attached
 * yet, and the chunk's pages are staged.  Returns false, with nothing done,
 * where no chunk is to be loaded now. */
bool pager_pack_run(Pager *pager, Piece *piece, ReadSlot *slot);

/* When a read of the order's from the snapshot begins, for
 * pager_pack_end_read() … */
uint64_t pager_pack_begin_read(const Pager *pager);

/* … which notes what it took; piece has been read. */
void pager_pack_end_read(Pager *pager, const Piece *piece, uint64_t begin_us);
