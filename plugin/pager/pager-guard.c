/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-guard.h"

#include "plugin/pager/pager-observe.h"
#include "plugin/pager/pager-plan.h"
#include "util/clock.h"

void pager_guard_note_fault(Pager *pager, bool in_order)
{
    /* Relaxed: numbers to judge by. */
    if (in_order) {
        atomic_fetch_add_explicit(&pager->n_late, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&pager->n_misses, 1, memory_order_relaxed);
    if (pager->has_order) {
        load_stats_order_missed(pager->config.stats);
    }
}

PagerStage pager_guard_stage_locked(const Pager *pager)
{
    switch (pager->guard.state) {
    case ORDER_GUARD_NEW:
    case ORDER_GUARD_WATCHING:
        return STAGE_ORDER;
    case ORDER_GUARD_TO_TRY:
    case ORDER_GUARD_TRYING:
        return STAGE_TRIAL;
    case ORDER_GUARD_ABANDONED:
        break;
    }
    return STAGE_REST;
}

/* What the guest waits for tells something of the order once it runs, and
 * nothing is held back from it. */
static bool can_judge_locked(const Pager *pager)
{
    return pager->attached && pager->preparation == PREPARED &&
           pager->rest_is_released && pager_is_observed_locked(pager);
}

static uint64_t n_misses(const Pager *pager)
{
    /* Relaxed: see pager_guard_note_fault(). */
    return atomic_load_explicit(&pager->n_misses, memory_order_relaxed);
}

static bool is_due_locked(const Pager *pager)
{
    return order_guard_is_due(&pager->guard, monotonic_us(), n_misses(pager));
}

bool pager_guard_is_due_locked(Pager *pager)
{
    if (pager->guard_looks || pager_guard_stage_locked(pager) != pager->stage) {
        return false;
    }
    if (pager->stage == STAGE_ORDER) {
        return can_judge_locked(pager) && is_due_locked(pager);
    }
    /* A trial begins and ends with nothing under way. */
    return pager->stage == STAGE_TRIAL && pager->n_pieces == 0 &&
           pager->huge == HUGE_KNOWN &&
           (pager->plan_is_out || is_due_locked(pager));
}

bool pager_guard_may_try_locked(Pager *pager)
{
    return pager->huge == HUGE_NOT_KNOWN ||
           (pager->huge == HUGE_KNOWN && !is_due_locked(pager));
}

static bool can_try_locked(const Pager *pager)
{
    return pager->config.rest != LOAD_REST_DEMAND &&
           pager->config.rest_bytes_per_s == 0;
}

void pager_guard_look(Pager *pager)
{
    OrderGuardView view = {
        .now_us = monotonic_us(),
        .n_misses = n_misses(pager),
        /* Relaxed: see pager_guard_note_fault(). */
        .n_late = atomic_load_explicit(&pager->n_late, memory_order_relaxed),
    };

    /* Takes its time: so without the lock. */
    pager_plan_count(pager, &view.all_pages, &view.order_pages);
    pthread_mutex_lock(&pager->lock);
    order_guard_look(&pager->guard, &view, can_try_locked(pager));
    if (pager->guard.state == ORDER_GUARD_ABANDONED) {
        load_stats_order_abandoned(pager->config.stats);
    }
    pager->guard_looks = false;
    pthread_mutex_unlock(&pager->lock);
}

void pager_guard_begin_rest_locked(Pager *pager)
{
    order_guard_begin_rest(&pager->guard, n_misses(pager));
}

bool pager_guard_rest_is_wanted_locked(const Pager *pager)
{
    return order_guard_rest_is_wanted(&pager->guard, n_misses(pager));
}
