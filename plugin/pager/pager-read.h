/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading pieces.
 */
#pragma once

#include <stdbool.h>

#include "plugin/pager/pager-config.h"
#include "plugin/pager/piece.h"
#include "plugin/pager/read-watch.h"

/* Read a claimed piece now, since somebody waits for it; slot: this thread's.
 * Returns 0 or -errno. */
int pager_read(Pager *pager, Piece *piece, ReadSlot *slot);

/* Read a claimed piece that nobody waits for.  Pages that cannot be read are
 * parked and leave its window.  Returns whether any is left. */
bool pager_read_ahead(Pager *pager, Piece *piece, ReadSlot *slot);
