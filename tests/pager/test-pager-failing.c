/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager where pages cannot be read, cannot be placed, or take long.  The
 * linker's --wrap lets placing fail.
 */
#include <errno.h>
#include <pthread.h>
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

static uint64_t address_of(const World *world, size_t block, uint64_t page)
{
    return (uintptr_t)world_page(world, block, page);
}

/* Wait until so many pages are missing of those in the file, for good. */
static void await_all_but(const World *world, json_int_t n_missing)
{
    json_int_t n_in_file = world_stat(world, "pages", "in-file");

    while (world_n_placed(world) != n_in_file - n_missing ||
           world_stat(world, NULL, "failed-pages") != n_missing) {
        sched_yield();
    }
}

static void assert_failed_at(World *world, size_t block, uint64_t page)
{
    assert_int_equal(world_failure(world).off_bytes,
                     world->snapshot->blocks[block].pages_off_bytes +
                         page * FAKE_PAGE_BYTES);
}

/* ---- reading ---- */

static const PageSpan bad_pages[] = {
    {0, 1007, 1}, /* of the order */
    {0, 3000, 1}, {0, 3001, 1}, {1, 0, 1}, {1, WORLD_N_PAGES - 1, 1},
};
#define N_BAD G_N_ELEMENTS(bad_pages)

static bool is_bad(size_t block, uint64_t page)
{
    for (size_t i = 0; i < N_BAD; i++) {
        if (bad_pages[i].block == block && bad_pages[i].first_page == page) {
            return true;
        }
    }
    return false;
}

static World *world_with_bad_pages(void **state, LoadPolicy policy)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 0, 1000, 500);

    for (size_t i = 0; i < N_BAD; i++) {
        fake_source_break(world->source, bad_pages[i].block,
                          bad_pages[i].first_page);
    }
    world_start(world, policy, order);
    world_attach(world);
    return world;
}

static void
with_bad_pages_all_others_are_loaded_and_retry_finishes(void **state)
{
    World *world = world_with_bad_pages(state, LOAD_POLICY_ORDER);
    PageToucher toucher;

    world_await_failures(world, 1);
    await_all_but(world, N_BAD);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_FAILED);
    /* The guest goes on … */
    for (size_t block = 0; block < WORLD_N_BLOCKS; block++) {
        for (uint64_t page = 0; page < WORLD_N_PAGES; page++) {
            assert_true(is_bad(block, page) ||
                        world_page_is_right(world, block, page));
        }
    }
    assert_int_equal(world_stat(world, NULL, "demand-faults"), 0);
    assert_int_equal(world_n_failures(world), 1);
    assert_false(world_failure(world).waited_for);
    /* … until it touches one of them. */
    world_begin_touch(world, &toucher, 0, 3001);
    world_await_failures(world, 2);
    assert_failed_at(world, 0, 3001);
    assert_true(world_failure(world).waited_for);
    assert_int_equal(world_stat(world, NULL, "failed-pages-waited-for"), 1);
    assert_false(world_is_loaded(world));

    fake_source_mend(world->source);
    pager_retry(world->pager);
    assert_true(world_end_touch(&toucher));
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_LOADED);
    assert_int_equal(world_stat(world, NULL, "failed-pages"), 0);
    assert_int_equal(world_stat(world, NULL, "failed-pages-waited-for"), 0);
    world_assert_all_right(world);
    world_free(world);
}

static void more_bad_pages_than_fault_threads_hold_up_nobody_else(void **state)
{
    World *world = world_with_bad_pages(state, LOAD_POLICY_DEMAND);
    PageToucher touchers[N_BAD];

    for (size_t i = 0; i < N_BAD; i++) {
        world_begin_touch(world, &touchers[i], bad_pages[i].block,
                          bad_pages[i].first_page);
    }
    while (world_stat(world, NULL, "failed-pages-waited-for") <
           (json_int_t)N_BAD) {
        sched_yield();
    }
    for (uint64_t page = 10; page < 1000; page++) {
        assert_true(world_page_is_right(world, 0, page));
    }
    /* A page of zeroes. */
    assert_int_equal(ram_range_discard(world->kind, address_of(world, 0, 500),
                                       FAKE_PAGE_BYTES),
                     0);
    assert_true(fake_page_is_zero(world_page(world, 0, 500)));

    fake_source_mend(world->source);
    pager_retry(world->pager);
    for (size_t i = 0; i < N_BAD; i++) {
        assert_true(world_end_touch(&touchers[i]));
    }
    world_await_state(world, LOAD_STATE_LOADING);
    world_free(world);
}

static void a_bad_page_costs_few_reads(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_break(world->source, 0, 1007);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    await_all_but(world, 1);
    /* Pieces of 256 pages, halves of one of them, five more tries. */
    assert_in_range(fake_source_n_reads(world->source), 32, 32 + 16 + 5);
    world_free(world);
}

static void a_retry_that_fails_again_is_told_again(void **state)
{
    World *world = world_with_bad_pages(state, LOAD_POLICY_SEQUENTIAL);

    world_await_failures(world, 1);
    await_all_but(world, N_BAD);
    for (unsigned i = 2; i < 5; i++) {
        pager_retry(world->pager);
        assert_int_equal(pager_state(world->pager), LOAD_STATE_FAILED);
        world_await_failures(world, i);
        assert_int_equal(pager_state(world->pager), LOAD_STATE_FAILED);
    }
    assert_int_equal(world_n_failures(world), 4);
    fake_source_mend(world->source);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

static void a_failure_that_passes_is_told_nobody(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 0, 1000, 500);

    fake_source_break_first_of(world->source, 5);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    for (uint64_t page = 0; page < WORLD_N_PAGES; page += 17) {
        assert_true(world_page_is_right(world, 1, page));
    }
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    assert_int_equal(world_n_failures(world), 0);
    world_free(world);
}

static void
a_bad_page_that_can_be_read_again_is_served_without_a_retry(void **state)
{
    World *world = world_with_bad_pages(state, LOAD_POLICY_SEQUENTIAL);

    world_await_failures(world, 1);
    await_all_but(world, N_BAD);
    fake_source_mend(world->source);
    for (size_t i = 0; i < N_BAD; i++) {
        assert_true(world_page_is_right(world, bad_pages[i].block,
                                        bad_pages[i].first_page));
    }
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(world_stat(world, NULL, "failed-pages"), 0);
    world_free(world);
}

static void
a_fault_that_cannot_be_read_is_served_by_who_has_read_the_page(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    PageToucher toucher;

    fake_source_shut(world->source, 2);
    fake_source_break_small(world->source);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    /* It is in flight. */
    while (page_states_next_pending(&world->pager->blocks[0].states, 0, 1) ==
           0) {
        sched_yield();
    }
    world_begin_touch(world, &toucher, 0, 0);
    while (atomic_load(&world->pager->n_parked) == 0) {
        sched_yield();
    }
    fake_source_open(world->source);
    assert_true(world_end_touch(&toucher));
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(world_stat(world, NULL, "failed-pages"), 0);
    world_free(world);
}

static void the_order_is_in_only_once_its_bad_page_is(void **state)
{
    World *world = world_with_bad_pages(state, LOAD_POLICY_ORDER);

    await_all_but(world, N_BAD);
    assert_int_equal(world_stat(world, NULL, "order-done-ms"), 0);
    fake_source_mend(world->source);
    assert_true(world_page_is_right(world, 0, 1007));
    world_await(world, LOAD_GOAL_HOT);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_FAILED);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_free(world);
}

static void
bad_pages_of_blocks_that_are_not_attached_do_not_matter(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 1, 100, 50);
    const PagerRange range = {"block0", (uintptr_t)world->memory[0],
                              WORLD_N_PAGES * FAKE_PAGE_BYTES};
    g_autoptr(GError) error = NULL;

    fake_source_break(world->source, 1, 120);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_await_failures(world, 1);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_FAILED);
    assert_true(pager_attach(world->pager, &range, 1, NULL, 0, &error));
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_LOADED);
    for (uint64_t page = 0; page < WORLD_N_PAGES; page++) {
        assert_true(world_page_is_right(world, 0, page));
    }
    world_free(world);
}

static void a_pager_with_bad_pages_can_be_freed(void **state)
{
    World *world = world_with_bad_pages(state, LOAD_POLICY_ORDER);

    world_await_failures(world, 1);
    world_free(world);
}

static void bad_pages_of_an_asynchronous_source_are_parked_too(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_make_asynchronous(world->source);
    fake_source_break(world->source, 0, 77);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    await_all_but(world, 1);
    fake_source_mend(world->source);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

/* ---- placing ---- */

static void a_page_that_cannot_be_placed_holds_up_no_other(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    atomic_store(&unplaceable, address_of(world, 0, 130));
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await_failures(world, 1);
    assert_int_equal(world_failure(world).error, ENOMEM);
    assert_string_equal(world_failure(world).what, "placing");
    assert_failed_at(world, 0, 130);
    await_all_but(world, 1);
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
    atomic_store(&unplaceable, address_of(world, 0, 130));
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
    atomic_store(&awaits_fault, address_of(world, 0, 3));
    atomic_store(&unplaceable, address_of(world, 0, 9));
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    /* The fault comes while the page is being placed. */
    while (page_states_is_owed(&world->pager->blocks[0].states, 3)) {
        sched_yield();
    }
    world_begin_touch(world, &toucher, 0, 3);
    assert_true(world_end_touch(&toucher));
    await_all_but(world, 1);
    atomic_store(&unplaceable, 0);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_free(world);
}

static void who_waits_for_a_page_that_could_not_be_placed_gets_it(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    PageToucher toucher;

    atomic_store(&unplaceable, address_of(world, 1, 9));
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
    ram_range_discard(world->kind, address_of(world, 0, 40), FAKE_PAGE_BYTES);
    atomic_store(&unplaceable, address_of(world, 0, 40));
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
    ram_range_discard(world->kind, address_of(world, 0, 40), FAKE_PAGE_BYTES);
    atomic_store(&unplaceable, address_of(world, 0, 40));
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

/* ---- slow reads ---- */

static void a_slow_read_ahead_is_told_once(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    world->slow_read_us = 1000;
    fake_source_shut(world->source, 200);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await_slow(world, 1);
    assert_false(world_slow(world).waited_for);
    assert_int_equal(world_slow(world).off_bytes % FAKE_PAGE_BYTES, 0);
    /* All else goes on. */
    assert_true(world_page_is_right(world, 0, 3));
    while (world_stat(world, NULL, "slow-reads") < 2) {
        sched_yield();
    }
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_ALL);
    world_free(world);
}

static void a_slow_read_that_somebody_waits_for_is_told_as_such(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    PageToucher toucher;

    world->slow_read_us = 1000;
    fake_source_shut(world->source, 1);
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    world_begin_touch(world, &toucher, 1, 55);
    world_await_slow(world, 1);
    assert_true(world_slow(world).waited_for);
    assert_int_equal(world_slow(world).off_bytes,
                     world->snapshot->blocks[1].pages_off_bytes +
                         55 * FAKE_PAGE_BYTES);
    /* It is told again, and counted once. */
    world_await_slow(world, 3);
    fake_source_open(world->source);
    assert_true(world_end_touch(&toucher));
    assert_int_equal(world_stat(world, NULL, "slow-reads"), 1);
    world_free(world);
}

/* ---- a snapshot that is changed ---- */

static void a_snapshot_that_was_changed_is_never_loaded(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(GError) error = NULL;

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    assert_true(world_page_is_right(world, 0, 7));
    fake_source_change(world->source);
    pager_load_rest(world->pager);
    world_await_failures(world, 1);
    assert_true(world_failure(world).is_final);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_FAILED);
    assert_false(pager_wait(world->pager, LOAD_GOAL_ALL, &error));
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_SNAPSHOT));
    pager_retry(world->pager);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_FAILED);
    assert_false(world_is_loaded(world));
    assert_int_equal(world_n_failures(world), 1);
    world_free(world);
}

static void
nothing_is_read_any_more_once_a_snapshot_is_known_to_be_changed(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_break(world->source, 0, 100);
    fake_source_change(world->source);
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    PageToucher toucher;
    world_begin_touch(world, &toucher, 0, 100);
    world_await_failures(world, 1);
    assert_true(world_failure(world).is_final);
    fake_source_mend(world->source);
    size_t n_reads = fake_source_n_reads(world->source);
    pager_load_rest(world->pager);
    pager_retry(world->pager);
    PageToucher other;
    world_begin_touch(world, &other, 1, 5);
    while (world_stat(world, NULL, "failed-pages-waited-for") < 2) {
        sched_yield();
    }
    assert_int_equal(fake_source_n_reads(world->source), n_reads);
    assert_int_equal(world_n_failures(world), 1);
    /* What is missing reads as zeroes once the pager is gone. */
    g_clear_pointer(&world->pager, pager_free);
    assert_false(world_end_touch(&toucher));
    assert_false(world_end_touch(&other));
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(with_bad_pages_all_others_are_loaded_and_retry_finishes),
        FOR_BOTH_KINDS(more_bad_pages_than_fault_threads_hold_up_nobody_else),
        FOR_BOTH_KINDS(a_bad_page_costs_few_reads),
        FOR_BOTH_KINDS(a_retry_that_fails_again_is_told_again),
        FOR_BOTH_KINDS(a_failure_that_passes_is_told_nobody),
        FOR_BOTH_KINDS(
            a_bad_page_that_can_be_read_again_is_served_without_a_retry),
        FOR_BOTH_KINDS(
            a_fault_that_cannot_be_read_is_served_by_who_has_read_the_page),
        FOR_BOTH_KINDS(the_order_is_in_only_once_its_bad_page_is),
        FOR_BOTH_KINDS(bad_pages_of_blocks_that_are_not_attached_do_not_matter),
        FOR_BOTH_KINDS(a_pager_with_bad_pages_can_be_freed),
        FOR_BOTH_KINDS(bad_pages_of_an_asynchronous_source_are_parked_too),
        FOR_BOTH_KINDS(a_page_that_cannot_be_placed_holds_up_no_other),
        FOR_BOTH_KINDS(a_page_that_another_process_has_filled_is_told_as_such),
        FOR_BOTH_KINDS(who_waits_for_a_page_placed_before_a_bad_one_is_woken),
        FOR_BOTH_KINDS(who_waits_for_a_page_that_could_not_be_placed_gets_it),
        FOR_BOTH_KINDS(a_zero_page_that_cannot_be_placed_is_parked_too),
        FOR_BOTH_KINDS(what_is_read_after_a_zero_page_was_mended_is_right),
        FOR_BOTH_KINDS(a_slow_read_ahead_is_told_once),
        FOR_BOTH_KINDS(a_slow_read_that_somebody_waits_for_is_told_as_such),
        FOR_BOTH_KINDS(a_snapshot_that_was_changed_is_never_loaded),
        FOR_BOTH_KINDS(
            nothing_is_read_any_more_once_a_snapshot_is_known_to_be_changed),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
