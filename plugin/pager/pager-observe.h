/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a load can teach: recording and learning.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/page-order.h"
#include "plugin/pager/pager-config.h"

/* The guest has touched page, which was not there: note it, if an observation
 * is under way. */
void pager_note_touch(Pager *pager, size_t block, uint64_t page,
                      PageAccess access, uint64_t now_us);

/* Claim some of the order's pages, so that they are not prefetched. */
void pager_hold_back(Pager *pager, const PageOrder *order);

/* Whether nobody notes any more, nor looks at what was held back. */
bool pager_is_observed_locked(const Pager *pager);

/* Whether it is time to end the observation: nothing is left that could be
 * noted, or the time is over. */
bool pager_observation_is_due_locked(const Pager *pager);

/* End it, unless it has ended or another thread is about to; then wait for
 * that one. */
void pager_observe_end(Pager *pager);
