/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Three actors share one storage: the guest, which is blocked in each of its
 * faults, the fault thread that reads for it, and the eager threads.  The
 * guest drives: at each of its touches the eager threads are first brought up
 * to that moment.  A touch of a page that is there costs nothing more than
 * the look at its bit.
 */
#include "profiler/simulate/simulate.h"

#include "profiler/orders/replay.h"
#include "profiler/simulate/simulate-eager.h"
#include "profiler/simulate/simulate-image.h"

#define NS_PER_US 1000

typedef struct Simulation {
    const SimulateParams *params;
    SimImage *image;
    Replay *replay; /* NULL: no order */
    StorageModel storage;
    Eager eager;
    uint64_t now_ns; /* the guest's */
    SimulateResult result;
} Simulation;

/* The guest waits until end_ns, and then for what a fault costs anyway. */
static void block_until(Simulation *sim, uint64_t end_ns)
{
    uint64_t begin_ns = sim->now_ns;
    uint64_t blocked_ns;

    sim->now_ns = MAX(begin_ns, end_ns) + sim->params->fault_ns;
    blocked_ns = sim->now_ns - begin_ns;
    sim->result.blocked_ns += blocked_ns;
    sim->result.max_blocked_ns = MAX(sim->result.max_blocked_ns, blocked_ns);
}

/* Read page alone; returns when it is there. */
static uint64_t read_page(Simulation *sim, uint64_t page)
{
    uint64_t end_ns = storage_model_read(
        &sim->storage, sim->now_ns,
        sim_image_block_of(sim->image, page)->page_bytes, true);

    sim->eager.last_end_ns = MAX(sim->eager.last_end_ns, end_ns);
    return end_ns;
}

/* When the fault thread has page.  It reads the page through the kernel's
 * page cache: what an eager thread has read is there, and what one is reading
 * is not read a second time. */
static uint64_t serve(Simulation *sim, uint64_t page)
{
    uint64_t end_ns = sim->now_ns;

    if (sim_test(sim->image->pending, page)) {
        return read_page(sim, page);
    }
    switch (eager_progress(&sim->eager, page, &end_ns)) {
    case EAGER_NOT_READ:
        return read_page(sim, page);
    case EAGER_READING:
    case EAGER_READ:
        break;
    }
    return end_ns;
}

/* page is in the file and not placed. */
static void demand_fault(Simulation *sim, uint64_t page)
{
    const SimBlock *block = sim_image_block_of(sim->image, page);
    uint64_t end_ns = serve(sim, page);

    sim_clear(sim->image->pending, page, page + 1);
    sim_set(sim->image->placed, page, page + 1);
    if (sim->replay) {
        replay_steer(sim->replay, sim_image_index_of(sim->image, block),
                     page - block->first);
    }
    sim->result.demand_faults++;
    sim->eager.n_faults++;
    sim->eager.busy_until_ns = sim->now_ns + sim->params->busy_ns;
    block_until(sim, end_ns);
}

static void touch(Simulation *sim, uint64_t page)
{
    SimImage *image = sim->image;

    if (sim_test(image->placed, page)) {
        return;
    }
    if (!sim_test(image->in_file, page)) {
        sim_set(image->placed, page, page + 1);
        sim->result.zero_faults++;
        block_until(sim, sim->now_ns);
        return;
    }
    eager_advance(&sim->eager, sim->now_ns);
    if (!sim_test(image->placed, page)) {
        demand_fault(sim, page);
    }
}

/* How long the guest computed between the first touches of extent i and those
 * of the next. */
static uint64_t compute_ns(const Simulation *sim, const PageOrder *trace,
                           size_t i)
{
    const PageExtent *extent = page_order_extent(trace, i);
    uint64_t faults_ns = extent->span.n_pages * sim->params->trace_fault_ns;
    uint64_t gap_ns;

    if (i + 1 == trace->extents->len ||
        page_order_extent(trace, i + 1)->time_us <= extent->time_us) {
        return 0;
    }
    gap_ns = (page_order_extent(trace, i + 1)->time_us - extent->time_us) *
             NS_PER_US;
    return gap_ns > faults_ns ? gap_ns - faults_ns : 0;
}

static void touch_extent(Simulation *sim, const PageOrder *trace, size_t i)
{
    uint64_t left_ns = compute_ns(sim, trace, i);
    SimRun run = sim_image_run(sim->image, page_order_extent(trace, i));

    for (uint64_t page = 0; page < run.n_pages; page++) {
        uint64_t step_ns = left_ns / (run.n_pages - page);

        touch(sim, run.first + page);
        sim->now_ns += step_ns;
        left_ns -= step_ns;
        sim->result.compute_ns += step_ns;
    }
    sim->result.touches += run.n_pages;
}

static void run_guest(Simulation *sim, const PageOrder *trace)
{
    uint64_t before_ns = 0;

    if (trace->extents->len > 0) {
        before_ns = page_order_extent(trace, 0)->time_us * NS_PER_US;
    }
    sim->now_ns += before_ns;
    sim->result.compute_ns += before_ns;
    for (size_t i = 0; i < trace->extents->len; i++) {
        touch_extent(sim, trace, i);
    }
}

/* A moment of the simulation as one counted from the guest's start. */
static uint64_t since_start(const Simulation *sim, uint64_t time_ns)
{
    uint64_t start_ns = sim->params->head_start_ns;

    return time_ns > start_ns ? time_ns - start_ns : 0;
}

static void run(Simulation *sim, const PageOrder *trace, LoadPolicy policy)
{
    SimulateResult *result = &sim->result;

    if (policy != LOAD_POLICY_DEMAND) {
        eager_start(&sim->eager);
    }
    if (policy == LOAD_POLICY_FULL) {
        eager_advance(&sim->eager, UINT64_MAX);
    }
    sim->now_ns = MAX(sim->params->head_start_ns, sim->eager.last_end_ns);
    run_guest(sim, trace);
    result->working_set_ns = since_start(sim, sim->now_ns);
    eager_advance(&sim->eager, sim->now_ns);
    result->working_set_bytes_read = sim->storage.bytes_read;
    eager_advance(&sim->eager, UINT64_MAX);
    result->bytes_read = sim->storage.bytes_read;
    result->order_done_ns = SIMULATE_NEVER;
    result->loaded_ns = SIMULATE_NEVER;
    if (policy == LOAD_POLICY_ORDER) {
        result->order_done_ns = since_start(sim, sim->eager.order_done_ns);
    }
    if (policy != LOAD_POLICY_DEMAND) {
        result->loaded_ns = since_start(sim, sim->eager.last_end_ns);
    }
}

static Replay *new_replay(const PageOrder *order, const SimImage *image)
{
    guint n_blocks = image->blocks->len;
    g_autofree ReplayBlock *blocks = g_new(ReplayBlock, n_blocks);

    for (guint i = 0; i < n_blocks; i++) {
        const SimBlock *block = sim_image_block(image, i);

        blocks[i] =
            (ReplayBlock){block->name, block->page_bytes, block->n_pages};
    }
    return replay_new(order, blocks, n_blocks);
}

bool simulate_load(const PageOrder *order, const PageOrder *trace,
                   const RamImage *snapshot, const SimulateParams *params,
                   LoadPolicy policy, SimulateResult *ret_result,
                   GError **error)
{
    g_autoptr(SimImage) image = sim_image_new(trace, snapshot, error);
    g_autoptr(Replay) replay = NULL;
    Simulation sim = {.params = params, .image = image};

    if (!image) {
        return false;
    }
    if (policy == LOAD_POLICY_ORDER) {
        replay = new_replay(order, image);
    }
    sim.replay = replay;
    storage_model_init(&sim.storage, &params->storage);
    eager_init(&sim.eager, image, replay, &sim.storage, params);
    run(&sim, trace, policy);
    eager_clear(&sim.eager);
    *ret_result = sim.result;
    return true;
}
