/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest RAM as a private mapping of memory that the source has
 * (PageSource.memory).
 *
 * The mapping is made and registered elsewhere, and then moved to where guest
 * RAM is, in one step: whoever touched a hole of it before it was registered
 * would fill that hole with zeroes, for everybody who maps this memory.  So it
 * is also never unregistered before every page is there, and no forked process
 * gets it.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "plugin/pager/pager-state.h"

/* Whether a block at start, of that name, can be such a mapping;
 * PAGER_ERROR_RAM says why not, and the way out. */
bool pager_map_check(const char *name, RamKind kind, uint64_t start,
                     GError **error);

/*
 * Map the attached blocks, all but the holes (an array of RegistrationHole),
 * which stay the memory that they are, discarded; and register what is mapped
 * unless every page is there already.  The fault threads run.
 *
 * Returns false with PAGER_ERROR; nothing has been lost then, except where the
 * message says so.
 */
bool pager_map_blocks(Pager *pager, const GArray *holes, GError **error);
