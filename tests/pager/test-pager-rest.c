/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rest, which waits for its gate.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin/pager/rest-gate.h"
#include "tests/pager/pager-world.h"
#include "util/clock.h"

#define N_IN_ORDER 600 /* some of them in the file */
#define HOUR_US    (UINT64_C(3600) * 1000 * 1000)

/* The gate is the test's: the linker's --wrap puts it in place. */
static _Atomic bool is_open;
static _Atomic unsigned n_asked;

bool __wrap_rest_gate_is_open(RestGate *gate, uint64_t now_us,
                              uint64_t *ret_again_us);

bool __wrap_rest_gate_is_open(RestGate *gate, uint64_t now_us,
                              uint64_t *ret_again_us)
{
    (void)gate;
    atomic_fetch_add(&n_asked, 1);
    *ret_again_us = now_us + 1000;
    return atomic_load(&is_open);
}

/* How often somebody has waited until a moment that had passed before. */
static _Atomic unsigned n_idle_waits;

void __real_clock_cond_wait_until(pthread_cond_t *changed,
                                  pthread_mutex_t *lock, uint64_t until_us);
void __wrap_clock_cond_wait_until(pthread_cond_t *changed,
                                  pthread_mutex_t *lock, uint64_t until_us);

void __wrap_clock_cond_wait_until(pthread_cond_t *changed,
                                  pthread_mutex_t *lock, uint64_t until_us)
{
    if (until_us < monotonic_us()) {
        atomic_fetch_add(&n_idle_waits, 1);
    }
    __real_clock_cond_wait_until(changed, lock, until_us);
}

static World *closed_world(void)
{
    World *world = world_new(RAM_ANONYMOUS, 4);

    atomic_store(&is_open, false);
    atomic_store(&n_asked, 0);
    world->rest = LOAD_REST_IDLE;
    world->rest_patience_us = HOUR_US;
    return world;
}

static void start_with_order(World *world)
{
    PageOrder *order = world_order(world, 0, 100, N_IN_ORDER);

    world_start(world, LOAD_POLICY_ORDER, order);
    page_order_free(order);
    world_attach(world);
    world_await(world, LOAD_GOAL_HOT);
}

/* Until the gate has been asked so often. */
static void await_asked(World *world, unsigned n)
{
    while (atomic_load(&n_asked) < n) {
        assert_false(world_is_loaded(world));
        sched_yield();
    }
}

static void the_rest_waits_when_the_order_is_in(void **state)
{
    World *world = closed_world();
    json_int_t n_in_order;

    (void)state;
    start_with_order(world);
    n_in_order = world_n_placed(world);
    assert_true(n_in_order > 0 && n_in_order <= N_IN_ORDER);
    await_asked(world, 20);
    assert_int_equal(world_n_placed(world), n_in_order);
    atomic_store(&is_open, true);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

static void a_page_that_the_guest_touches_does_not_wait(void **state)
{
    World *world = closed_world();
    PageToucher toucher;

    (void)state;
    start_with_order(world);
    for (uint64_t page = 2000; page < 2040; page++) {
        world_begin_touch(world, &toucher, 1, page);
        assert_true(world_end_touch(&toucher));
    }
    atomic_store(&is_open, true);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

static void without_an_order_nothing_waits(void **state)
{
    World *world = closed_world();

    (void)state;
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

/* Of a rest that never ends, since a page of it cannot be read. */
static void who_has_nothing_to_do_waits_behind_an_open_gate(void **state)
{
    World *world = closed_world();
    PageToucher toucher;
    uint64_t bad = 3000;

    (void)state;
    atomic_store(&is_open, true);
    while (!ram_image_block_has_page(&world->snapshot->blocks[1], bad)) {
        bad++;
    }
    fake_source_break(world->source, 1, bad);
    start_with_order(world);
    world_await_failures(world, 1);
    atomic_store(&n_idle_waits, 0);
    for (uint64_t page = 0; page < 1000; page++) {
        world_begin_touch(world, &toucher, 0, page);
        assert_true(world_end_touch(&toucher));
    }
    assert_in_range(atomic_load(&n_idle_waits), 0, 100);
    world_free(world);
}

static void a_rest_that_is_asked_for_waits_no_longer(void **state)
{
    World *world = closed_world();

    (void)state;
    start_with_order(world);
    pager_load_rest(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

static void
a_rest_on_demand_is_what_is_touched_until_it_is_asked_for(void **state)
{
    World *world = closed_world();
    PageToucher toucher;
    json_int_t n_in_order;

    (void)state;
    world->rest = LOAD_REST_DEMAND;
    start_with_order(world);
    n_in_order = world_n_placed(world);
    world_begin_touch(world, &toucher, 1, 2001);
    assert_true(world_end_touch(&toucher));
    assert_true(world_n_placed(world) <= n_in_order + 1);
    pager_load_rest(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

static void a_load_can_end_while_the_rest_waits(void **state)
{
    World *world = closed_world();

    (void)state;
    start_with_order(world);
    await_asked(world, 1);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rest_waits_when_the_order_is_in),
        cmocka_unit_test(a_page_that_the_guest_touches_does_not_wait),
        cmocka_unit_test(without_an_order_nothing_waits),
        cmocka_unit_test(who_has_nothing_to_do_waits_behind_an_open_gate),
        cmocka_unit_test(a_rest_that_is_asked_for_waits_no_longer),
        cmocka_unit_test(
            a_rest_on_demand_is_what_is_touched_until_it_is_asked_for),
        cmocka_unit_test(a_load_can_end_while_the_rest_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
