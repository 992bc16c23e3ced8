/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/simulate-plan.h"

#include <stdlib.h>
#include <string.h>

#include "profiler/phases.h"

/* The table of pages' phases comes in chunks, only where the plan has pages,
 * since an order is small beside its guest. */
#define CHUNK_PAGES 512
#define NO_PHASE    UINT32_MAX

struct SimPlan {
    GArray *runs;        /* of SimRun: phase by phase, by page inside */
    GArray *phase_start; /* of uint32_t: each phase's first run */
    uint32_t **chunks;   /* of CHUNK_PAGES phases each, or NULL */
    size_t n_chunks;
    uint32_t *next;   /* of run i: i, or a later run before which all from
                         i on are finished; runs->len: all are */
    uint32_t current; /* runs->len: begin again with what was skipped */
};

/* What it takes to make a plan. */
typedef struct PlanBuilder {
    SimPlan *plan;
    const SimImage *image;
    uint64_t *unseen; /* pages that no run has yet */
    uint64_t max_hole_bytes;
} PlanBuilder;

static SimRun *run_at(const SimPlan *plan, size_t i)
{
    return &g_array_index(plan->runs, SimRun, i);
}

void sim_plan_free(SimPlan *plan)
{
    if (!plan) {
        return;
    }
    g_array_unref(plan->runs);
    g_array_unref(plan->phase_start);
    for (size_t i = 0; i < plan->n_chunks; i++) {
        g_free(plan->chunks[i]);
    }
    g_free(plan->chunks);
    g_free(plan->next);
    g_free(plan);
}

/* Remember of which phase the pages of run are. */
static void set_phase(SimPlan *plan, const SimRun *run, uint32_t phase)
{
    for (uint64_t i = 0; i < run->n_pages; i++) {
        uint64_t page = run->first + i;
        uint32_t **chunk = &plan->chunks[page / CHUNK_PAGES];

        if (!*chunk) {
            *chunk = g_new(uint32_t, CHUNK_PAGES);
            memset(*chunk, 0xff, CHUNK_PAGES * sizeof(**chunk));
        }
        (*chunk)[page % CHUNK_PAGES] = phase;
    }
}

/* Append the parts of run that come for the first time, as of phase. */
static void add_unseen(PlanBuilder *builder, const SimRun *run, uint32_t phase)
{
    uint64_t end = run->first + run->n_pages;
    uint64_t first = sim_next_set(builder->unseen, run->first, end);

    while (first < end) {
        uint64_t stop = sim_next_clear(builder->unseen, first, end);
        SimRun part = {first, stop - first};

        sim_clear(builder->unseen, first, stop);
        set_phase(builder->plan, &part, phase);
        g_array_append_val(builder->plan->runs, part);
        first = sim_next_set(builder->unseen, stop, end);
    }
}

static int compare_runs(const void *a, const void *b)
{
    const SimRun *left = a;
    const SimRun *right = b;

    return (left->first > right->first) - (left->first < right->first);
}

/* Whether b, which lies behind a, is near it and in the same block. */
static bool are_neighbours(const PlanBuilder *builder, const SimRun *a,
                           const SimRun *b)
{
    uint64_t hole = b->first - (a->first + a->n_pages);
    const SimBlock *block = sim_image_block_of(builder->image, a->first);

    return b->first < block->first + block->n_pages &&
           hole <= builder->max_hole_bytes / block->page_bytes;
}

/* Sort the runs from start on and join neighbours. */
static void join_from(PlanBuilder *builder, guint start)
{
    GArray *runs = builder->plan->runs;
    guint kept = start;

    if (runs->len == start) {
        return;
    }
    qsort(run_at(builder->plan, start), runs->len - start, sizeof(SimRun),
          compare_runs);
    for (guint i = start + 1; i < runs->len; i++) {
        SimRun *last = run_at(builder->plan, kept);
        const SimRun *run = run_at(builder->plan, i);

        if (are_neighbours(builder, last, run)) {
            last->n_pages = run->first + run->n_pages - last->first;
        } else {
            *run_at(builder->plan, ++kept) = *run;
        }
    }
    g_array_set_size(runs, kept + 1);
}

static void add_phase(PlanBuilder *builder, const PageOrder *order,
                      const OrderPhase *phase)
{
    SimPlan *plan = builder->plan;
    guint start = plan->runs->len;

    for (size_t i = 0; i < phase->n_extents; i++) {
        SimRun run;

        if (sim_image_run(builder->image, order,
                          page_order_extent(order, phase->first_extent + i),
                          &run)) {
            add_unseen(builder, &run, plan->phase_start->len);
        }
    }
    join_from(builder, start);
    g_array_append_val(plan->phase_start, start);
}

static void add_phases(SimPlan *plan, const SimImage *image,
                       const PageOrder *order, const SimPlanLimits *limits)
{
    g_autoptr(GArray) phases =
        order_phases(order, limits->phase_bytes, limits->phase_gap_us);
    g_autofree uint64_t *unseen = g_new(uint64_t, image->n_pages / 64 + 1);
    PlanBuilder builder = {
        .plan = plan,
        .image = image,
        .unseen = unseen,
        .max_hole_bytes = limits->max_hole_bytes,
    };

    memset(unseen, 0xff, (image->n_pages / 64 + 1) * sizeof(*unseen));
    for (guint i = 0; i < phases->len; i++) {
        add_phase(&builder, order, &g_array_index(phases, OrderPhase, i));
    }
}

SimPlan *sim_plan_new(const SimImage *image, const PageOrder *order,
                      const SimPlanLimits *limits)
{
    SimPlan *plan = g_new0(SimPlan, 1);

    plan->runs = g_array_new(false, false, sizeof(SimRun));
    plan->phase_start = g_array_new(false, false, sizeof(uint32_t));
    plan->n_chunks = image->n_pages / CHUNK_PAGES + 1;
    plan->chunks = g_new0(uint32_t *, plan->n_chunks);
    add_phases(plan, image, order, limits);
    plan->next = g_new(uint32_t, plan->runs->len + 1);
    for (guint i = 0; i <= plan->runs->len; i++) {
        plan->next[i] = i;
    }
    return plan;
}

/* The first unfinished run from i on, shortening the way for the next who
 * asks. */
static uint32_t next_unfinished(SimPlan *plan, uint32_t i)
{
    while (plan->next[i] != i) {
        plan->next[i] = plan->next[plan->next[i]];
        i = plan->next[i];
    }
    return i;
}

bool sim_plan_current(SimPlan *plan, SimRun *ret_run)
{
    plan->current = next_unfinished(plan, plan->current);
    if (plan->current == plan->runs->len) {
        plan->current = next_unfinished(plan, 0);
    }
    if (plan->current == plan->runs->len) {
        return false;
    }
    *ret_run = *run_at(plan, plan->current);
    return true;
}

void sim_plan_finish_run(SimPlan *plan)
{
    plan->next[plan->current] = plan->current + 1;
}

void sim_plan_follow(SimPlan *plan, uint64_t page)
{
    const uint32_t *chunk = plan->chunks[page / CHUNK_PAGES];
    uint32_t phase = chunk ? chunk[page % CHUNK_PAGES] : NO_PHASE;

    if (phase != NO_PHASE) {
        uint32_t start = g_array_index(plan->phase_start, uint32_t, phase);

        plan->current = MAX(plan->current, start);
    }
}
