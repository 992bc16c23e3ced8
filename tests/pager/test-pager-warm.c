/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An order whose pages are warmed, or staged, before there is memory to load
 * them into.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin/pager/pager-state.h"
#include "profiler/orders/read-ahead.h"
#include "tests/pager/pager-world.h"
#include "util/thread.h"

#define N_IN_ORDER 200 /* all of them in the file */

/* What the world has staged at the most. */
#define MAX_STAGED_PAGES ((UINT64_C(1) << 20) / FAKE_PAGE_BYTES)

/* Until then, who makes a replay waits. */
static _Atomic bool order_may_be_ready = true;

Replay *__real_replay_new(const PageOrder *order, const ReplayBlock *blocks,
                          size_t n_blocks);
Replay *__wrap_replay_new(const PageOrder *order, const ReplayBlock *blocks,
                          size_t n_blocks);

Replay *__wrap_replay_new(const PageOrder *order, const ReplayBlock *blocks,
                          size_t n_blocks)
{
    while (!atomic_load(&order_may_be_ready)) {
        sched_yield();
    }
    return __real_replay_new(order, blocks, n_blocks);
}

/* All of its pages are in the file. */
static World *warm_world(void)
{
    World *world = world_new(RAM_ANONYMOUS, 8);

    fake_source_let_warm(world->source);
    return world;
}

static void start_with_order(World *world, uint64_t n_pages)
{
    g_autoptr(PageOrder) order = world_order(world, 0, 100, n_pages);

    world_start(world, LOAD_POLICY_ORDER, order);
}

static void assert_loaded_by_order(World *world, uint64_t n_pages)
{
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    assert_int_equal(world_stat(world, "pages", "by-order"), n_pages);
}

static void the_order_is_warmed_until_there_is_memory_for_it(void **state)
{
    World *world = warm_world();

    (void)state;
    start_with_order(world, N_IN_ORDER);
    fake_source_await_warmed(world->source, N_IN_ORDER);
    assert_int_equal(fake_source_n_reads(world->source), 0);
    world_attach(world);
    assert_loaded_by_order(world, N_IN_ORDER);
    assert_int_equal(fake_source_n_warmed(world->source), N_IN_ORDER);
    world_free(world);
}

static void await_warm(World *world)
{
    bool is_out = false;

    while (!is_out) {
        sched_yield();
        pthread_mutex_lock(&world->pager->lock);
        is_out = world->pager->plan_is_out;
        pthread_mutex_unlock(&world->pager->lock);
    }
}

static void no_more_is_warmed_than_would_be_staged(void **state)
{
    World *world = warm_world();

    (void)state;
    start_with_order(world, WORLD_N_PAGES - 100);
    await_warm(world);
    world_attach(world);
    assert_loaded_by_order(world, WORLD_N_PAGES - 100);
    assert_in_range(fake_source_n_warmed(world->source), MAX_STAGED_PAGES,
                    MAX_STAGED_PAGES +
                        READ_AHEAD_PIECE_BYTES / FAKE_PAGE_BYTES - 1);
    world_free(world);
}

static void memory_can_come_while_the_order_is_being_warmed(void **state)
{
    World *world = warm_world();

    (void)state;
    fake_source_shut(world->source, 1);
    start_with_order(world, N_IN_ORDER);
    fake_source_await_waiting(world->source);
    world_attach(world);
    fake_source_open(world->source);
    assert_loaded_by_order(world, N_IN_ORDER);
    world_free(world);
}

static void nobody_waits_for_an_order_that_is_not_ready_yet(void **state)
{
    World *world = warm_world();

    (void)state;
    atomic_store(&order_may_be_ready, false);
    start_with_order(world, N_IN_ORDER);
    world_attach(world);
    assert_true(world_page_is_right(world, 0, 100));
    assert_int_equal(world_n_placed(world), 1);
    atomic_store(&order_may_be_ready, true);
    assert_loaded_by_order(world, N_IN_ORDER - 1);
    world_free(world);
}

static void a_load_can_end_while_the_order_is_being_warmed(void **state)
{
    World *world = warm_world();

    (void)state;
    start_with_order(world, WORLD_N_PAGES - 100);
    fake_source_await_warmed(world->source, 1);
    world_free(world);
}

static void what_is_held_back_to_learn_from_is_warmed_as_well(void **state)
{
    World *world = warm_world();

    (void)state;
    world_observe(world, OBSERVE_LEARNING);
    start_with_order(world, N_IN_ORDER);
    fake_source_await_warmed(world->source, N_IN_ORDER);
    world_attach(world);
    world_await(world, LOAD_GOAL_HOT);
    pager_end_observation(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

static bool is_staged(World *world)
{
    Pager *pager = world->pager;

    pthread_mutex_lock(&pager->lock);
    bool is_out = pager->plan_is_out;
    unsigned n_at_work = pager->n_pieces - pager->read.length;
    pthread_mutex_unlock(&pager->lock);
    assert_in_range(n_at_work, 0, MAX(thread_count_cpus(), 2) - 1);
    return is_out;
}

/* Too far apart to be read together. */
static PageOrder *scattered_order(const World *world)
{
    const RamImageBlock *layout = &world->snapshot->blocks[0];
    PageOrder *order = page_order_new();
    uint32_t index = page_order_add_block(order, layout->name,
                                          layout->len_bytes, FAKE_PAGE_BYTES);

    for (uint64_t page = 0; page < WORLD_N_PAGES; page += 32) {
        const PageExtent extent = {.span = {index, page, 1}, .time_us = page};

        page_order_append(order, &extent);
    }
    return order;
}

static void staging_leaves_a_cpu_to_qemu(void **state)
{
    World *world = world_new(RAM_ANONYMOUS, 8);
    g_autoptr(PageOrder) order = scattered_order(world);

    (void)state;
    world_start(world, LOAD_POLICY_ORDER, order);
    while (!is_staged(world)) {
        sched_yield();
    }
    world_attach(world);
    assert_loaded_by_order(world, WORLD_N_PAGES / 32);
    world_free(world);
}

/* A world whose first block has pages twice as large as the host's, with an
 * order of all of them.  They cannot be loaded lazily; another machine's
 * snapshot may have them. */
static World *large_pages_world(ObserveKind kind)
{
    World *world = warm_world();
    PageSourceBlock *block = &fake_source_base(world->source)->blocks[0];
    g_autoptr(PageOrder) order = page_order_new();

    block->page_bytes *= 2;
    block->n_pages /= 2;
    page_order_add_block(order, block->name, block->len_bytes,
                         block->page_bytes);
    page_order_append(order, &(PageExtent){.span = {0, 0, block->n_pages}});
    if (kind != OBSERVE_NOTHING) {
        world_observe(world, kind);
    }
    world_start(world, LOAD_POLICY_ORDER, order);
    return world;
}

static void pages_that_are_not_of_the_hosts_size_are_not_warmed(void **state)
{
    World *world = large_pages_world(OBSERVE_NOTHING);

    (void)state;
    await_warm(world);
    assert_int_equal(fake_source_n_warmed(world->source), 0);
    world_free(world);
}

static void pages_that_are_not_of_the_hosts_size_are_not_held_back(void **state)
{
    World *world = large_pages_world(OBSERVE_LEARNING);

    (void)state;
    assert_int_equal(world->pager->held.length, 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_warmed_until_there_is_memory_for_it),
        cmocka_unit_test(no_more_is_warmed_than_would_be_staged),
        cmocka_unit_test(memory_can_come_while_the_order_is_being_warmed),
        cmocka_unit_test(nobody_waits_for_an_order_that_is_not_ready_yet),
        cmocka_unit_test(a_load_can_end_while_the_order_is_being_warmed),
        cmocka_unit_test(what_is_held_back_to_learn_from_is_warmed_as_well),
        cmocka_unit_test(staging_leaves_a_cpu_to_qemu),
        cmocka_unit_test(pages_that_are_not_of_the_hosts_size_are_not_warmed),
        cmocka_unit_test(
            pages_that_are_not_of_the_hosts_size_are_not_held_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
