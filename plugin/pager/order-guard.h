/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether an order is worth going on with.  A wrong one (another machine's, an
 * old one) has the storage read scattered pages while the guest waits for
 * others.  Once the guest has missed many, both ways of going on are measured
 * on this storage, the order's and the rest's sequence, and the order is
 * abandoned unless it is well shorter:
 *
 *   watching   by the order; pages that it lacks are counted
 *   trying     some of the rest is read, to see how fast that is
 *   abandoned  for good
 *
 * An order that is at its end can do no more harm but one: the rest, which
 * gives way to a guest that has what it needs (rest-gate.h), would do so for a
 * guest that waits for it.
 *
 * Not thread-safe: its owner has a lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    ORDER_GUARD_NEW, /* nothing is known yet */
    ORDER_GUARD_WATCHING,
    ORDER_GUARD_TO_TRY, /* the trial is to begin */
    ORDER_GUARD_TRYING,
    ORDER_GUARD_ABANDONED,
} OrderGuardState;

/* What there is at a moment. */
typedef struct OrderGuardView {
    uint64_t now_us;
    uint64_t n_misses; /* pages that the guest waited for, not in the order … */
    uint64_t n_late;   /* … and in it */
    uint64_t order_pages; /* that are still to be loaded: of the order … */
    uint64_t all_pages;   /* … and in all */
} OrderGuardView;

/* What a way of loading has brought. */
typedef struct OrderGuardPace {
    uint64_t pages;
    uint64_t us;
} OrderGuardPace;

/* All zeroes: NEW. */
typedef struct OrderGuard {
    OrderGuardState state;
    OrderGuardView begin;    /* since when the order is watched */
    uint64_t look_at;        /* … and looked at after so many misses since */
    OrderGuardPace of_order; /* until it was doubted */
    OrderGuardView trial;    /* when the trial began … */
    uint64_t tried_pages;    /* … and what was claimed in it */
    OrderGuardPace of_rest;  /* pages 0: not known */
    uint64_t rest_misses;    /* misses when the rest began */
} OrderGuard;

/* Whether order_guard_look() is to be called; cheap.  While it TRIES, nothing
 * more is to be claimed then. */
bool order_guard_is_due(const OrderGuard *guard, uint64_t now_us,
                        uint64_t n_misses);

/* In the trial so many pages of the rest are claimed. */
void order_guard_note_claimed(OrderGuard *guard, uint64_t n_pages);

/* The guest runs, and so much is left; a trial begins and ends with nothing
 * under way.  guard->state then tells how to go on.  can_try: the rest may be
 * read as fast as it can be; else an order is abandoned only once it has lacked
 * as many pages as it has brought. */
void order_guard_look(OrderGuard *guard, const OrderGuardView *view,
                      bool can_try);

/* The rest begins. */
void order_guard_begin_rest(OrderGuard *guard, uint64_t n_misses);

/* Whether the guest waits for pages of the rest, which is not to give way to it
 * then.  For good, once it is so. */
bool order_guard_rest_is_wanted(const OrderGuard *guard, uint64_t n_misses);
