/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Blocks whose units (pager-units.h) are so large that nobody can wait for a
 * fault on one: pager_attach() itself loads them, and they are never
 * registered.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "plugin/pager/pager-state.h"

/* Load those blocks, whose memory was discarded.  Returns false with
 * PAGER_ERROR. */
bool pager_whole_load(Pager *pager, GError **error);
