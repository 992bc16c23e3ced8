/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which blocks are loaded in units (pager-units.h) shows when memory is
 * attached, and until then every block is warmed or staged in the source's
 * pages.  So, before memory is taken over, one waits until nobody stages,
 * forgets what was staged of such a block, for the order to give it again, and
 * puts a layout and states of units in place of those of pages.  (To wait is to
 * wait for a read by each thread that stages, of 1 MiB at the most, and for the
 * order to be prepared, which tells each block of it.  Without that, each would
 * need states of pages that outlive these.)
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "plugin/pager/pager-state.h"

/* Group the pages of the blocks that have a host and need it.  Returns false
 * with PAGER_ERROR; nothing is lost then. */
bool pager_regroup(Pager *pager, GError **error);
