/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loads by an order that does not fit the guest.  One eager thread, which is
 * held up in the order until the guest has missed many pages, looks at it then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin/pager/order-guard.h"
#include "plugin/pager/rest-gate.h"
#include "tests/pager/pager-world.h"

/* The order's pages, half of which are in the file; they come after those that
 * a trial reads. */
#define FIRST_IN_ORDER 500
#define N_IN_ORDER     3000

#define N_MISSES 150 /* that the guest makes of pages not in the order */

#define HOUR_US (UINT64_C(3600) * 1000 * 1000)

/* ---- what the guard is told: the linker's --wrap puts these in place ---- */

#define ORDER_US   (UINT64_C(10) * 1000 * 1000) /* for N_BY_ORDER pages */
#define N_BY_ORDER 100

/* How long a piece of the rest takes, in its trial. */
#define FAST_US 1
#define SLOW_US (UINT64_C(1000) * 1000 * 1000)

static _Atomic uint64_t trial_us;
static _Atomic unsigned n_looks;
static _Atomic unsigned n_trials;

bool __real_order_guard_is_due(const OrderGuard *guard, uint64_t now_us,
                               uint64_t n_misses);
bool __wrap_order_guard_is_due(const OrderGuard *guard, uint64_t now_us,
                               uint64_t n_misses);

/* A trial is one piece. */
bool __wrap_order_guard_is_due(const OrderGuard *guard, uint64_t now_us,
                               uint64_t n_misses)
{
    return guard->state == ORDER_GUARD_TRYING
               ? guard->tried_pages > 0
               : __real_order_guard_is_due(guard, now_us, n_misses);
}

void __real_order_guard_look(OrderGuard *guard, const OrderGuardView *view,
                             bool can_try);
void __wrap_order_guard_look(OrderGuard *guard, const OrderGuardView *view,
                             bool can_try);

void __wrap_order_guard_look(OrderGuard *guard, const OrderGuardView *view,
                             bool can_try)
{
    static uint64_t now_us; /* its caller has the pager's lock */
    OrderGuardView told = *view;

    atomic_fetch_add(&n_looks, 1);
    if (guard->state == ORDER_GUARD_NEW) {
        told.n_misses = 0;
        told.n_late = 0;
        told.order_pages += N_BY_ORDER;
        told.all_pages += N_BY_ORDER;
    } else if (guard->state == ORDER_GUARD_WATCHING) {
        now_us += ORDER_US;
    } else if (guard->state == ORDER_GUARD_TRYING) {
        now_us += atomic_load(&trial_us);
        atomic_fetch_add(&n_trials, 1);
    }
    told.now_us = now_us;
    __real_order_guard_look(guard, &told, can_try);
}

/* How often a thread has lowered its priority. */
static _Atomic unsigned n_lowered;

int __wrap_setpriority(int which, id_t who, int nice);

int __wrap_setpriority(int which, id_t who, int nice)
{
    (void)which;
    (void)who;
    (void)nice;
    atomic_fetch_add(&n_lowered, 1);
    return 0;
}

/* Shut, to whom it lets wait. */
bool __wrap_rest_gate_is_open(RestGate *gate, uint64_t now_us,
                              uint64_t *ret_again_us);

bool __wrap_rest_gate_is_open(RestGate *gate, uint64_t now_us,
                              uint64_t *ret_again_us)
{
    (void)gate;
    *ret_again_us = now_us + 1000;
    return false;
}

/* ---- a load ---- */

static World *guarded_world(RamKind kind, uint64_t us)
{
    World *world = world_new(kind, 4);

    atomic_store(&trial_us, us);
    atomic_store(&n_looks, 0);
    atomic_store(&n_trials, 0);
    atomic_store(&n_lowered, 0);
    world->rest = LOAD_REST_IDLE;
    world->rest_patience_us = HOUR_US;
    world->n_eager_threads = 1;
    return world;
}

/* Until the guest runs; the order is held up. */
static void start(World *world)
{
    g_autoptr(PageOrder) order =
        world_order(world, 0, FIRST_IN_ORDER, N_IN_ORDER);

    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_ORDER, order);
    fake_source_await_waiting(world->source);
    world_attach(world);
    pager_release_rest(world->pager);
}

/* The guest waits for pages that the order lacks, from a page of the other
 * block on. */
static void miss_pages_from(World *world, uint64_t page)
{
    json_int_t until = world_stat(world, NULL, "order-misses") + N_MISSES;

    while (world_stat(world, NULL, "order-misses") < until) {
        PageToucher toucher;

        assert_true(page < WORLD_N_PAGES);
        world_begin_touch(world, &toucher, 1, page++);
        assert_true(world_end_touch(&toucher));
    }
}

static void miss_pages(World *world)
{
    miss_pages_from(world, 0);
}

static bool is_abandoned(const World *world)
{
    json_t *stats =
        load_stats_to_json(world->stats, LOAD_POLICY_ORDER, LOAD_STATE_LOADING);
    bool is_so = json_is_true(json_object_get(stats, "order-abandoned"));

    json_decref(stats);
    return is_so;
}

static bool is_order_done(const World *world)
{
    json_t *stats =
        load_stats_to_json(world->stats, LOAD_POLICY_ORDER, LOAD_STATE_LOADING);
    bool is_so = json_is_integer(json_object_get(stats, "order-done-ms"));

    json_decref(stats);
    return is_so;
}

/* How many pages of the order are in the file. */
static json_int_t n_of_order(const World *world)
{
    json_int_t n = 0;

    for (uint64_t i = 0; i < N_IN_ORDER; i++) {
        n += ram_image_block_has_page(&world->snapshot->blocks[0],
                                      FIRST_IN_ORDER + i);
    }
    return n;
}

static void load_to_the_end(World *world)
{
    pager_load_rest(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

static void
a_useless_order_is_abandoned_and_the_rest_comes_at_once(void **state)
{
    World *world = guarded_world(ram_kind_of(state), FAST_US);

    start(world);
    miss_pages(world);
    fake_source_open(world->source);
    /* The gate is shut to a rest that waits for the guest. */
    world_await(world, LOAD_GOAL_ALL);
    assert_true(is_abandoned(world));
    assert_int_equal(atomic_load(&n_trials), 1);
    assert_true(world_stat(world, "pages", "by-order") < n_of_order(world));
    assert_false(is_order_done(world));
    load_to_the_end(world);
}

static void
who_waits_for_an_order_waits_no_longer_once_it_is_abandoned(void **state)
{
    World *world = guarded_world(RAM_ANONYMOUS, FAST_US);

    (void)state;
    start(world);
    /* Of the piece that is being read: so it is parked. */
    fake_source_break(world->source, 0,
                      fake_source_read_at(world->source, 0).first_page);
    miss_pages(world);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_HOT);
    assert_true(is_abandoned(world));
    assert_false(is_order_done(world));
    world_await_failures(world, 1);
    fake_source_mend(world->source);
    pager_retry(world->pager);
    load_to_the_end(world);
}

static void an_order_is_gone_on_with_when_the_rest_is_slower(void **state)
{
    World *world = guarded_world(ram_kind_of(state), SLOW_US);

    start(world);
    miss_pages(world);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_HOT);
    assert_false(is_abandoned(world));
    assert_true(is_order_done(world));
    assert_int_equal(atomic_load(&n_trials), 1);
    assert_true(world_stat(world, "pages", "by-rest") > 0);
    assert_true(world_stat(world, "pages", "by-order") >= n_of_order(world));
    /* It was placed by who had read it, with a priority that permits that. */
    assert_int_equal(atomic_load(&n_lowered), 0);
    /* And the rest waits for the guest. */
    assert_false(world_is_loaded(world));
    load_to_the_end(world);
}

static void huge_pages_of_a_trial_are_right(void **state)
{
    static const uint64_t times_us[] = {FAST_US, SLOW_US};

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(times_us); i++) {
        World *world = guarded_world(RAM_ANONYMOUS, times_us[i]);

        world->huge = HUGE_PLACING_ALWAYS;
        start(world);
        miss_pages(world);
        fake_source_open(world->source);
        world_await(world, LOAD_GOAL_HOT);
        assert_int_equal(atomic_load(&n_trials), 1);
        assert_int_equal(is_abandoned(world), times_us[i] == FAST_US);
        load_to_the_end(world);
    }
}

static void an_order_that_the_guest_does_not_miss_is_not_tried(void **state)
{
    World *world = guarded_world(RAM_ANONYMOUS, FAST_US);

    (void)state;
    start(world);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_HOT);
    assert_true(is_order_done(world));
    assert_int_equal(atomic_load(&n_looks), 1);
    assert_int_equal(world_stat(world, "pages", "by-rest"), 0);
    load_to_the_end(world);
}

static void
with_the_rest_on_demand_nothing_is_read_after_a_useless_order(void **state)
{
    World *world = guarded_world(RAM_ANONYMOUS, FAST_US);

    (void)state;
    world->rest = LOAD_REST_DEMAND;
    start(world);
    miss_pages(world);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_HOT);
    assert_true(is_abandoned(world));
    assert_int_equal(atomic_load(&n_trials), 0);
    /* Time for whoever might read. */
    miss_pages_from(world, WORLD_N_PAGES / 2);
    assert_int_equal(world_stat(world, "pages", "by-rest"), 0);
    assert_true(world_stat(world, "pages", "by-order") < n_of_order(world));
    load_to_the_end(world);
}

static void a_rest_whose_rate_is_limited_is_not_tried(void **state)
{
    World *world = guarded_world(RAM_ANONYMOUS, FAST_US);

    (void)state;
    world->rest_bytes_per_s = UINT64_C(1) << 30;
    start(world);
    miss_pages(world);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_ALL);
    assert_true(is_abandoned(world));
    assert_int_equal(atomic_load(&n_trials), 0);
    load_to_the_end(world);
}

/* What is held back is missed as well. */
static void while_it_is_learned_from_an_order_is_not_looked_at(void **state)
{
    World *world = guarded_world(RAM_ANONYMOUS, FAST_US);

    (void)state;
    world_observe(world, OBSERVE_LEARNING);
    start(world);
    miss_pages(world);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_HOT);
    assert_int_equal(atomic_load(&n_looks), 0);
    assert_true(is_order_done(world));
    load_to_the_end(world);
}

static void before_the_guest_runs_an_order_is_not_looked_at(void **state)
{
    World *world = guarded_world(RAM_ANONYMOUS, FAST_US);
    g_autoptr(PageOrder) order =
        world_order(world, 0, FIRST_IN_ORDER, N_IN_ORDER);

    (void)state;
    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    miss_pages(world);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_HOT);
    assert_int_equal(atomic_load(&n_looks), 0);
    load_to_the_end(world);
}

/* Nothing is to be abandoned any more; only the gate is in the guest's way. */
static void
the_rest_does_not_give_way_to_a_guest_that_waits_for_it(void **state)
{
    World *world = guarded_world(ram_kind_of(state), FAST_US);

    start(world);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_HOT);
    miss_pages(world);
    assert_int_equal(world_stat(world, "pages", "by-rest"), 0);
    for (uint64_t page = 0; page < WORLD_N_PAGES; page++) {
        assert_true(world_page_is_right(world, 1, page));
    }
    /* The other block is the rest's. */
    world_await(world, LOAD_GOAL_ALL);
    assert_true(is_order_done(world));
    assert_false(is_abandoned(world));
    load_to_the_end(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(a_useless_order_is_abandoned_and_the_rest_comes_at_once),
        cmocka_unit_test(
            who_waits_for_an_order_waits_no_longer_once_it_is_abandoned),
        FOR_BOTH_KINDS(an_order_is_gone_on_with_when_the_rest_is_slower),
        cmocka_unit_test(huge_pages_of_a_trial_are_right),
        cmocka_unit_test(an_order_that_the_guest_does_not_miss_is_not_tried),
        cmocka_unit_test(
            with_the_rest_on_demand_nothing_is_read_after_a_useless_order),
        cmocka_unit_test(a_rest_whose_rate_is_limited_is_not_tried),
        cmocka_unit_test(while_it_is_learned_from_an_order_is_not_looked_at),
        cmocka_unit_test(before_the_guest_runs_an_order_is_not_looked_at),
        FOR_BOTH_KINDS(the_rest_does_not_give_way_to_a_guest_that_waits_for_it),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
