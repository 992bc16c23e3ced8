/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/order-guard.h"

#include <glib.h>

/* So many misses are no reason to look: good orders have some. */
#define MIN_MISSES 64

/* An order is doubted when the guest misses at least a 16th of what it would
 * miss by an order drawn by lot.  Those that fitted missed a hundredth and less
 * when measured. */
#define DOUBT_ONE_IN 16

/* A trial is so long; longer ones would hardly tell more. */
#define TRIAL_US    30000
#define TRIAL_PAGES 8192

/* Finishing an order may take this share of the time that loading everything
 * takes.  Say an order has the share h of what the guest touches, and takes s
 * times as long as everything.  Then the guest has a page after s/2 on average
 * if it is in the order, and else after s + 1/2; without the order after 1/2.
 * By the order it has pages sooner while s < h / (2 - h).  How much of its
 * touches a doubtful order has does not show: two in three are assumed … */
#define MAX_SHARE 0.5

/* … and all, where most of what the guest had to wait for is in the order. */
#define MAX_SHARE_IF_RIGHT 1.0

/* What it may cost if it tells no more of the guest than one drawn by lot. */
#define MAX_SHARE_IF_BY_LOT 0.1

/* To say that, so many pages by lot must be expected: with fewer, half or twice
 * as many come by chance. */
#define MIN_BY_LOT 8

/* So many misses since the rest began: more than all those of an order that
 * fitted, of 20,000 pages. */
#define MAX_REST_MISSES 256

static uint64_t misses_since_begin(const OrderGuard *guard, uint64_t n_misses)
{
    return n_misses - guard->begin.n_misses;
}

bool order_guard_is_due(const OrderGuard *guard, uint64_t now_us,
                        uint64_t n_misses)
{
    switch (guard->state) {
    case ORDER_GUARD_NEW:
    case ORDER_GUARD_TO_TRY:
        return true;
    case ORDER_GUARD_WATCHING:
        return misses_since_begin(guard, n_misses) >= guard->look_at;
    case ORDER_GUARD_TRYING:
        return guard->tried_pages >= TRIAL_PAGES ||
               now_us >= guard->trial.now_us + TRIAL_US;
    case ORDER_GUARD_ABANDONED:
        break;
    }
    return false;
}

void order_guard_note_claimed(OrderGuard *guard, uint64_t n_pages)
{
    guard->tried_pages += n_pages;
}

/* Seconds for so many pages; for ever where there is no pace. */
static double seconds_for(uint64_t pages, const OrderGuardPace *pace)
{
    return pages == 0
               ? 0
               : (double)pages * ((double)pace->us / 1e6) / (double)pace->pages;
}

static OrderGuardPace pace_of_order(const OrderGuard *guard,
                                    const OrderGuardView *view)
{
    return (OrderGuardPace){
        .pages = guard->begin.order_pages - view->order_pages,
        .us = view->now_us - guard->begin.now_us,
    };
}

/* The share of pages that an order drawn by lot would lack. */
static double share_by_lot(const OrderGuardView *view)
{
    return view->all_pages == 0
               ? 0
               : 1 - (double)view->order_pages / (double)view->all_pages;
}

/* Whether it has brought no more than it has lacked. */
static bool is_disproved(const OrderGuard *guard, const OrderGuardView *view)
{
    return misses_since_begin(guard, view->n_misses) >=
           pace_of_order(guard, view).pages;
}

static double late_since_begin(const OrderGuard *guard,
                               const OrderGuardView *view)
{
    return (double)(view->n_late - guard->begin.n_late);
}

/* Whether the guest, being ahead of the order, has waited for fewer pages that
 * this lacks than for half of those that one drawn by lot would lack. */
static bool is_right(const OrderGuard *guard, const OrderGuardView *view)
{
    double misses = (double)misses_since_begin(guard, view->n_misses);
    double late = late_since_begin(guard, view);

    return misses * 2 < (misses + late) * share_by_lot(view);
}

/* Whether the guest comes to pages of the order as often as to others.  It
 * comes to more of them if it is ahead of a right order, and to fewer if it is
 * behind: what is to come yet is not wanted yet. */
static bool is_by_lot(const OrderGuard *guard, const OrderGuardView *view)
{
    double misses = (double)misses_since_begin(guard, view->n_misses);
    double late = late_since_begin(guard, view);
    double lacked = share_by_lot(view);
    double expected = lacked > 0 ? misses * (1 - lacked) / lacked : 0;

    return expected >= MIN_BY_LOT && late * 2 >= expected &&
           late <= expected * 2;
}

/* Whether the guest misses more than by a good order, or as by lot, and more is
 * to come of it than a trial takes.  What the order has brought counts for it,
 * whether the guest has touched it or not: that does not show. */
static bool is_doubtful(const OrderGuard *guard, const OrderGuardView *view)
{
    const OrderGuardPace of_order = pace_of_order(guard, view);
    double misses = (double)misses_since_begin(guard, view->n_misses);
    double touched = misses + (double)of_order.pages;

    return (misses * DOUBT_ONE_IN >= touched * share_by_lot(view) ||
            is_by_lot(guard, view)) &&
           seconds_for(view->order_pages, &of_order) * 1e6 > TRIAL_US;
}

static bool takes_too_long(const OrderGuard *guard, const OrderGuardView *view)
{
    double max_share = is_right(guard, view)    ? MAX_SHARE_IF_RIGHT
                       : is_by_lot(guard, view) ? MAX_SHARE_IF_BY_LOT
                                                : MAX_SHARE;

    return guard->of_rest.pages > 0 &&
           seconds_for(view->order_pages, &guard->of_order) >=
               seconds_for(view->all_pages, &guard->of_rest) * max_share;
}

/* Go on by the order until the guest has missed twice as many pages. */
static void watch(OrderGuard *guard, const OrderGuardView *view)
{
    guard->state = ORDER_GUARD_WATCHING;
    guard->look_at =
        MAX(2 * misses_since_begin(guard, view->n_misses), MIN_MISSES);
}

static void decide(OrderGuard *guard, const OrderGuardView *view, bool is_bad)
{
    if (is_bad) {
        guard->state = ORDER_GUARD_ABANDONED;
    } else {
        watch(guard, view);
    }
}

/* The storage stays the same: one trial is enough. */
static void look_at_order(OrderGuard *guard, const OrderGuardView *view,
                          bool can_try)
{
    guard->of_order = pace_of_order(guard, view);
    if (!is_doubtful(guard, view)) {
        watch(guard, view);
    } else if (!can_try) {
        decide(guard, view, is_disproved(guard, view));
    } else if (guard->of_rest.pages == 0) {
        guard->state = ORDER_GUARD_TO_TRY;
    } else {
        decide(guard, view, takes_too_long(guard, view));
    }
}

static void end_trial(OrderGuard *guard, const OrderGuardView *view)
{
    guard->of_rest = (OrderGuardPace){
        .pages = guard->trial.all_pages - view->all_pages,
        .us = view->now_us - guard->trial.now_us,
    };
    decide(guard, view, takes_too_long(guard, view));
    /* What the trial has brought is not the order's: begin anew. */
    guard->look_at = misses_since_begin(guard, view->n_misses);
    guard->begin = *view;
}

void order_guard_look(OrderGuard *guard, const OrderGuardView *view,
                      bool can_try)
{
    switch (guard->state) {
    case ORDER_GUARD_NEW:
        guard->begin = *view;
        watch(guard, view);
        break;
    case ORDER_GUARD_WATCHING:
        look_at_order(guard, view, can_try);
        break;
    case ORDER_GUARD_TO_TRY:
        guard->trial = *view;
        guard->tried_pages = 0;
        guard->state = ORDER_GUARD_TRYING;
        break;
    case ORDER_GUARD_TRYING:
        end_trial(guard, view);
        break;
    case ORDER_GUARD_ABANDONED:
        break;
    }
}

void order_guard_begin_rest(OrderGuard *guard, uint64_t n_misses)
{
    guard->rest_misses = n_misses;
}

bool order_guard_rest_is_wanted(const OrderGuard *guard, uint64_t n_misses)
{
    return guard->state == ORDER_GUARD_ABANDONED ||
           n_misses - guard->rest_misses >= MAX_REST_MISSES;
}
