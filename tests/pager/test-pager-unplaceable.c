/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager where pages cannot be placed: the linker's --wrap lets placing
 * fail.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/pager/pager-state.h"
#include "plugin/pager/uffd.h"
#include "tests/pager/pager-world.h"

/* Placing at this address fails; 0: none does. */
static _Atomic uint64_t unplaceable;
static int unplaceable_rc = -ENOMEM;

/* Placing at this address lets go on a first time only once a demand fault has
 * come for World watched; 0: none. */
static _Atomic uint64_t awaits_fault;
static World *watched;

int __real_uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
                     uint64_t *ret_done);
int __wrap_uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
                     uint64_t *ret_done);
int __real_uffd_zero(int fd, uint64_t start, uint64_t len);
int __wrap_uffd_zero(int fd, uint64_t start, uint64_t len);

int __wrap_uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
                     uint64_t *ret_done)
{
    uint64_t bad = atomic_load(&unplaceable);
    uint64_t awaits = atomic_load(&awaits_fault);

    if (awaits != 0 && awaits - dst < len) {
        while (world_stat(watched, NULL, "demand-faults") == 0) {
            sched_yield();
        }
        atomic_store(&awaits_fault, 0);
    }
    if (bad == 0 || bad - dst >= len) {
        return __real_uffd_copy(fd, dst, src, len, ret_done);
    }
    *ret_done = 0;
    if (bad == dst) {
        return unplaceable_rc;
    }
    int rc = __real_uffd_copy(fd, dst, src, bad - dst, ret_done);
    return rc == 0 ? unplaceable_rc : rc;
}

int __wrap_uffd_zero(int fd, uint64_t start, uint64_t len)
{
    return atomic_load(&unplaceable) == start
               ? -ENOMEM
               : __real_uffd_zero(fd, start, len);
}

static void a_page_that_cannot_be_placed_holds_up_no_other(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    atomic_store(&unplaceable, world_address(world, 0, 130));
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await_failures(world, 1);
    assert_int_equal(world_failure(world).error, ENOMEM);
    assert_string_equal(world_failure(world).what, "placing");
    assert_true(!strstr(world_failure(world).reason, "tmpfs") ==
                (world->kind == RAM_ANONYMOUS));
    world_assert_failed_at(world, 0, 130);
    world_await_all_but(world, 1);
    atomic_store(&unplaceable, 0);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

static void a_page_that_another_process_has_filled_is_told_as_such(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    unplaceable_rc = UFFD_EXISTS;
    atomic_store(&unplaceable, world_address(world, 0, 130));
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await_failures(world, 1);
    assert_non_null(strstr(world_failure(world).reason, "another process"));
    assert_non_null(strstr(world_failure(world).reason, "--policy full"));
    atomic_store(&unplaceable, 0);
    unplaceable_rc = -ENOMEM;
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_free(world);
}

static void who_waits_for_a_page_placed_before_a_bad_one_is_woken(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    PageToucher toucher;

    watched = world;
    atomic_store(&awaits_fault, world_address(world, 0, 3));
    atomic_store(&unplaceable, world_address(world, 0, 9));
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    /* The fault comes while the page is being placed. */
    while (page_states_is_owed(&world->pager->blocks[0].states, 3)) {
        sched_yield();
    }
    world_begin_touch(world, &toucher, 0, 3);
    assert_true(world_end_touch(&toucher));
    world_await_all_but(world, 1);
    atomic_store(&unplaceable, 0);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_free(world);
}

static void who_waits_for_a_page_that_could_not_be_placed_gets_it(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    PageToucher toucher;

    atomic_store(&unplaceable, world_address(world, 1, 9));
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    world_begin_touch(world, &toucher, 1, 9);
    world_await_failures(world, 1);
    assert_true(world_failure(world).waited_for);
    assert_true(world_page_is_right(world, 1, 10));
    atomic_store(&unplaceable, 0);
    pager_retry(world->pager);
    assert_true(world_end_touch(&toucher));
    world_free(world);
}

static void a_zero_page_that_cannot_be_placed_is_parked_too(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    PageToucher touchers[4]; /* more than there are fault threads */

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    assert_true(world_page_is_right(world, 0, 40));
    ram_range_discard(world->kind, world_address(world, 0, 40),
                      FAKE_PAGE_BYTES);
    atomic_store(&unplaceable, world_address(world, 0, 40));
    for (size_t i = 0; i < G_N_ELEMENTS(touchers); i++) {
        world_begin_touch(world, &touchers[i], 0, 40);
    }
    world_await_failures(world, 1);
    assert_string_equal(world_failure(world).what, "placing");
    assert_true(world_page_is_right(world, 0, 41));
    atomic_store(&unplaceable, 0);
    pager_retry(world->pager);
    for (size_t i = 0; i < G_N_ELEMENTS(touchers); i++) {
        assert_false(world_end_touch(&touchers[i])); /* zero by now */
    }
    assert_true(fake_page_is_zero(world_page(world, 0, 40)));
    world_await_state(world, LOAD_STATE_LOADING);
    assert_int_equal(world_stat(world, NULL, "failed-pages"), 0);
    world_free(world);
}

/* The buffer that was to bring the zeroes brings pages again. */
static void what_is_read_after_a_zero_page_was_mended_is_right(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    PageToucher toucher;

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    assert_true(world_page_is_right(world, 0, 40));
    ram_range_discard(world->kind, world_address(world, 0, 40),
                      FAKE_PAGE_BYTES);
    atomic_store(&unplaceable, world_address(world, 0, 40));
    world_begin_touch(world, &toucher, 0, 40);
    world_await_failures(world, 1);
    atomic_store(&unplaceable, 0);
    pager_retry(world->pager);
    assert_false(world_end_touch(&toucher)); /* zero by now */
    pager_load_rest(world->pager);
    for (uint64_t page = 0; page < WORLD_N_PAGES; page++) {
        assert_true(page == 40 || world_page_is_right(world, 0, page));
        assert_true(world_page_is_right(world, 1, page));
    }
    world_await(world, LOAD_GOAL_ALL);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(a_page_that_cannot_be_placed_holds_up_no_other),
        FOR_BOTH_KINDS(a_page_that_another_process_has_filled_is_told_as_such),
        FOR_BOTH_KINDS(who_waits_for_a_page_placed_before_a_bad_one_is_woken),
        FOR_BOTH_KINDS(who_waits_for_a_page_that_could_not_be_placed_gets_it),
        FOR_BOTH_KINDS(a_zero_page_that_cannot_be_placed_is_parked_too),
        FOR_BOTH_KINDS(what_is_read_after_a_zero_page_was_mended_is_right),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
