/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether QEMU has left the memory alone.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "plugin/pager/pager-config.h"

/*
 * The pager relies on whoever loads the device state to write nothing to
 * memory that the pager loads.  Once the device state is loaded, and before
 * the guest runs: look at some pages that are in place.  One that is zero
 * though it is not in the snapshot was overwritten.  No page is loaded for
 * this.  After pager_release() nothing can be looked at any more, and it
 * returns true.
 *
 * Returns false with PAGER_ERROR_RAM.
 */
bool pager_check_untouched(Pager *pager, GError **error);

/* For a thread that is not the pager's own: use what only loading needs, which
 * is there until pager_leave().  False: there is nothing yet, or no more. */
bool pager_enter(Pager *pager);
void pager_leave(Pager *pager);
