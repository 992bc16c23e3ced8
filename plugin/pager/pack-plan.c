/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pack-plan.h"

void pack_plan_init(PackPlan *plan, const Pack *pack, bool always)
{
    *plan = (PackPlan){.pack = pack};
    if (pack && pack->chunks->len > 0) {
        plan->given = g_new0(bool, pack->chunks->len);
        plan->state = always ? PACK_IN_USE : PACK_ON_TRIAL;
    }
}

void pack_plan_clear(PackPlan *plan)
{
    g_free(plan->given);
    *plan = (PackPlan){0};
}

/* The first one from at on that has not been given, or else of all; there is
 * one. */
static size_t next_chunk(const PackPlan *plan)
{
    size_t n = plan->pack->chunks->len;
    size_t chunk = plan->at;

    while (plan->given[chunk % n]) {
        chunk++;
    }
    return chunk % n;
}

static bool may_give(const PackPlan *plan)
{
    if (plan->state == PACK_ON_TRIAL) {
        return !plan->is_tried && plan->of_pack.pages_bytes == 0;
    }
    return plan->state == PACK_IN_USE;
}

bool pack_plan_next(PackPlan *plan, size_t *ret_chunk)
{
    if (!may_give(plan) || plan->n_given == plan->pack->chunks->len) {
        return false;
    }
    size_t chunk = next_chunk(plan);
    plan->given[chunk] = true;
    plan->n_given++;
    plan->at = chunk + 1;
    plan->is_tried = true;
    *ret_chunk = chunk;
    return true;
}

static void add_cost(PackCost *cost, uint64_t pages_bytes, uint64_t us)
{
    cost->pages_bytes += pages_bytes;
    cost->us += us;
}

/* As soon as both sides have had their turn, or the snapshot has taken longer
 * for less. */
static void decide(PackPlan *plan)
{
    const PackCost *pack = &plan->of_pack;
    const PackCost *snapshot = &plan->of_snapshot;

    if (plan->state != PACK_ON_TRIAL || pack->pages_bytes == 0 ||
        (snapshot->pages_bytes < pack->pages_bytes &&
         snapshot->us <= pack->us)) {
        return;
    }
    /* Time for each byte, told by products: both fit 64 bits by far. */
    plan->state =
        pack->us * snapshot->pages_bytes < snapshot->us * pack->pages_bytes
            ? PACK_IN_USE
            : PACK_LEFT;
}

void pack_plan_note_chunk(PackPlan *plan, uint64_t pages_bytes, uint64_t us)
{
    plan->is_tried = false;
    if (pages_bytes > 0) {
        add_cost(&plan->of_pack, pages_bytes, us);
        decide(plan);
    }
}

void pack_plan_note_snapshot(PackPlan *plan, uint64_t pages_bytes, uint64_t us)
{
    if (plan->state == PACK_ON_TRIAL) {
        add_cost(&plan->of_snapshot, pages_bytes, us);
        decide(plan);
    }
}

bool pack_plan_leave(PackPlan *plan)
{
    bool is_news = plan->state != PACK_LEFT;

    plan->state = PACK_LEFT;
    return is_news;
}

bool pack_plan_is_of_use(const PackPlan *plan)
{
    return plan->state == PACK_ON_TRIAL || plan->state == PACK_IN_USE;
}

static bool chunk_has(const Pack *pack, const PackChunk *chunk, size_t block,
                      uint64_t page)
{
    for (size_t i = 0; i < chunk->n_spans; i++) {
        const PageSpan *span = pack_span(pack, chunk->first_span + i);

        if (span->block == block && page >= span->first_page &&
            page - span->first_page < span->n_pages) {
            return true;
        }
    }
    return false;
}

void pack_plan_steer(PackPlan *plan, size_t block, uint64_t page)
{
    if (plan->state != PACK_IN_USE) {
        return;
    }
    for (size_t i = plan->at; i < plan->pack->chunks->len; i++) {
        if (!plan->given[i] &&
            chunk_has(plan->pack, pack_chunk(plan->pack, i), block, page)) {
            plan->at = i;
            return;
        }
    }
}
