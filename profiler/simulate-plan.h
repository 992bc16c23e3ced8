/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the eager thread reads, and in which sequence: the phases of an order
 * one after the other, each in file order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/page-order.h"
#include "profiler/simulate-image.h"

typedef struct SimPlan SimPlan;

typedef struct SimPlanLimits {
    uint64_t phase_bytes; /* see order_phases() */
    uint64_t phase_gap_us;
    uint64_t max_hole_bytes; /* neighbours within a phase that are no
                                farther apart are read in one piece */
} SimPlanLimits;

/* The plan to read order's pages.  Pages that the image has not are left
 * out. */
SimPlan *sim_plan_new(const SimImage *image, const PageOrder *order,
                      const SimPlanLimits *limits);

/* NULL is fine. */
void sim_plan_free(SimPlan *plan);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimPlan, sim_plan_free)

/* The run at the cursor; false if the plan is done.  After the last run
 * follows what was skipped. */
bool sim_plan_current(SimPlan *plan, SimRun *ret_run);

/* The current run has nothing left to read: go on to the next. */
void sim_plan_finish_run(SimPlan *plan);

/* Go on with the phase that page belongs to, if it comes later than the
 * cursor. */
void sim_plan_follow(SimPlan *plan, uint64_t page);
