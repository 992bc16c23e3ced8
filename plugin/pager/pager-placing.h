/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The placing threads' part of the pager: place what the eager threads have
 * read, and end what is to be ended.  Several, since one of them copies no
 * faster than storage reads.
 */
#pragma once

#include "plugin/pager/pager-config.h"
#include "plugin/pager/piece.h"

/* A thread; opaque is the Pager. */
void *pager_place_thread(void *opaque);

/* Place a piece, which has been read or is to be placed as zeroes, and be done
 * with it.  For a thread of ordinary priority, once memory is attached. */
void pager_place_piece(Pager *pager, Piece *piece);

/* Have a placing thread do so, as soon as it can be done. */
void pager_hand_over(Pager *pager, Piece *piece);

/* A piece that was under way is done with, or came to nothing (NULL: was not
 * even made): it is kept for the next one, or freed. */
void pager_put_piece(Pager *pager, Piece *piece);
