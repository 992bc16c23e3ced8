/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the eager threads read next.  Other threads never take its lock:
 * a fault leaves a note of where the guest is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/pager/pager-config.h"
#include "plugin/pager/pager-state.h"

typedef enum {
    PLAN_SPAN, /* *ret_span is next */
    PLAN_MORE, /* ask again: so much was looked at that others come first */
    PLAN_OUT,  /* the stage has nothing more */
} PlanAnswer;

/* Before the threads start.  order: NULL, or what is to be replayed; taken
 * over. */
void pager_plan_init(Pager *pager, PageOrder *order);
void pager_plan_clear(Pager *pager);

/* Make the order ready to be replayed: once, before anything of it is asked
 * for, with no lock held. */
void pager_plan_prepare(Pager *pager);

/* stage: ORDER; or TRIAL or REST. */
PlanAnswer pager_plan_next(Pager *pager, PagerStage stage, bool attached,
                           PageSpan *ret_span);

/* How pages of the order are brought to where they are read quickly
 * (PageSource.warm), which are the first to be read later: before
 * pager_attach() only. */
PlanAnswer pager_plan_next_to_warm(Pager *pager, PageSpan *ret_span);

/* There is a place for what is read: begin with the order. */
void pager_plan_end_warming(Pager *pager);

/* Go to where the guest is, as pager_plan_leave_word() has told; for who takes
 * something of the order without pager_plan_next(), and holds Plan.lock. */
void pager_plan_steer_locked(Pager *pager);

/* For who holds Plan.lock: the span, of the order, is to come next. */
void pager_plan_put_off_locked(Pager *pager, const PageSpan *span);

/* The same for who does not hold it. */
void pager_plan_put_off(Pager *pager, const PageSpan *span);

/* Of the rest, nothing from the page on is claimed yet: go back to it. */
void pager_plan_go_back(Pager *pager, size_t block, uint64_t page);

/* What is to be read at once just now: less while the guest waits for
 * faults. */
uint64_t pager_plan_piece_bytes(const Pager *pager);

/* How many pages are pending in all, and of the order; takes no lock. */
void pager_plan_count(const Pager *pager, uint64_t *ret_all_pages,
                      uint64_t *ret_order_pages);

/* Whether the order that is replayed has the page. */
bool pager_plan_has(const Pager *pager, size_t block, uint64_t page);

/* The guest has touched page, which the order has.  Takes no lock. */
void pager_plan_leave_word(Pager *pager, size_t block, uint64_t page);
