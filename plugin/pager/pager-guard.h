/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The order's guard (order-guard.h) at work: the eager threads ask it between
 * two pieces.
 */
#pragma once

#include <stdbool.h>

#include "plugin/pager/pager-state.h"

/* Somebody waits for a page that was not there yet, and is in the order (the
 * guest is ahead of it) or not.  Takes no lock. */
void pager_guard_note_fault(Pager *pager, bool in_order);

/* In the stages ORDER and TRIAL: which of these is to be, or REST: the order
 * was abandoned. */
PagerStage pager_guard_stage_locked(const Pager *pager);

/* Whether pager_guard_look() is to be called now: by one thread, and with
 * guard_looks set. */
bool pager_guard_is_due_locked(Pager *pager);

/* In the stage TRIAL: whether to go on with it. */
bool pager_guard_may_try_locked(Pager *pager);

/* Look at how the order does. */
void pager_guard_look(Pager *pager);

/* The rest begins; and whether the guest waits for it, which it does not give
 * way to then. */
void pager_guard_begin_rest_locked(Pager *pager);
bool pager_guard_rest_is_wanted_locked(const Pager *pager);
