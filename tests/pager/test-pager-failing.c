/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager where pages cannot be read.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin/pager/pager-state.h"
#include "plugin/pager/uffd.h"
#include "tests/pager/pager-world.h"

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
    world_await_all_but(world, N_BAD);
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
    world_assert_failed_at(world, 0, 3001);
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
    assert_int_equal(ram_range_discard(world->kind,
                                       world_address(world, 0, 500),
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
    world_await_all_but(world, 1);
    /* Pieces of 256 pages, halves of one of them, five more tries. */
    assert_in_range(fake_source_n_reads(world->source), 32, 32 + 16 + 5);
    world_free(world);
}

static void a_retry_that_fails_again_is_told_again(void **state)
{
    World *world = world_with_bad_pages(state, LOAD_POLICY_SEQUENTIAL);

    world_await_failures(world, 1);
    world_await_all_but(world, N_BAD);
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
    world_await_all_but(world, N_BAD);
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

    world_await_all_but(world, N_BAD);
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
    world_await_all_but(world, 1);
    fake_source_mend(world->source);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
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
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
