/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager on plain mappings, with real userfaultfd and real threads.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "plugin/pager/pager-state.h"
#include "tests/pager/pager-world.h"

static uint64_t page_in_file(const World *world, size_t block, uint64_t from)
{
    while (!ram_image_block_has_page(&world->snapshot->blocks[block], from)) {
        from++;
    }
    return from;
}

static uint64_t page_not_in_file(const World *world, size_t block,
                                 uint64_t from)
{
    while (ram_image_block_has_page(&world->snapshot->blocks[block], from)) {
        from++;
    }
    return from;
}

static void discard(const World *world, size_t block, uint64_t page)
{
    assert_int_equal(ram_range_discard(
                         world->kind, (uintptr_t)world_page(world, block, page),
                         FAKE_PAGE_BYTES),
                     0);
}

/* ---- each test runs for anonymous and for shared memory ---- */

static void everything_is_loaded_by_the_rest_alone(void **state)
{
    World *world = world_new(ram_kind_of(state), 5);

    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_LOADED);
    world_assert_all_right(world);
    assert_int_equal(world_stat(world, "pages", "by-rest"),
                     world_stat(world, "pages", "in-file"));
    assert_int_equal(world_stat(world, NULL, "demand-faults"), 0);
    world_free(world);
}

static void everything_is_loaded_by_faults_alone(void **state)
{
    World *world = world_new(ram_kind_of(state), 5);

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    world_assert_all_right(world);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(world_stat(world, "pages", "by-fault"),
                     world_stat(world, "pages", "in-file"));
    assert_int_equal(world_stat(world, NULL, "demand-faults"),
                     world_stat(world, "pages", "in-file"));
    world_assert_all_right(world);
    world_free(world);
}

static void pages_of_the_order_come_first(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 1, 1000, 500);

    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    PageSpan first = fake_source_read_at(world->source, 0);
    assert_int_equal(first.block, 1);
    assert_in_range(first.first_page, 1000, 1499);
    assert_in_range(world_stat(world, "pages", "by-order"), 500, 600);
    world_assert_all_right(world);
    world_free(world);
}

static void pages_of_the_order_are_read_before_there_is_memory(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 0, 16, 200);

    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_ORDER, order);
    fake_source_await_waiting(world->source);
    fake_source_open(world->source);
    world_attach(world);
    world_await(world, LOAD_GOAL_HOT);
    for (uint64_t page = 16; page < 216; page++) {
        assert_true(world_page_is_right(world, 0, page));
    }
    assert_int_equal(world_stat(world, NULL, "demand-faults"), 0);
    world_free(world);
}

static void a_page_that_is_touched_ahead_of_the_order_comes_late(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 0, 16, 200);

    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    fake_source_await_waiting(world->source);
    assert_true(world_page_is_right(world, 0, 20));
    assert_true(world_page_is_right(world, 0, 21));
    assert_true(world_page_is_right(world, 0, 1000));
    assert_int_equal(world_stat(world, "pages", "by-fault"), 3);
    assert_int_equal(world_stat(world, "pages", "late"), 2);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_ALL);
    world_free(world);
}

static void an_order_for_other_blocks_does_no_harm(void **state)
{
    World *world = world_new(ram_kind_of(state), 5);
    g_autoptr(PageOrder) order = page_order_new();
    uint32_t other =
        page_order_add_block(order, "elsewhere", 1 << 30, FAKE_PAGE_BYTES);
    uint32_t longer = page_order_add_block(order, "block0", UINT64_C(1) << 40,
                                           FAKE_PAGE_BYTES);
    PageExtent extent = {.span = {other, 7, 90}};

    page_order_append(order, &extent);
    extent.span.block = longer;
    extent.span.first_page = WORLD_N_PAGES - 10;
    extent.span.n_pages = 1 << 20;
    page_order_append(order, &extent);
    extent.span.first_page = UINT64_C(1) << 27;
    page_order_append(order, &extent);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

static void a_page_in_flight_is_not_waited_for(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    fake_source_await_waiting(world->source);
    /* The eager threads are stuck in their first reads, which have pages
     * from 0 on. */
    assert_true(world_page_is_right(world, 0, 0));
    assert_true(world_page_is_right(world, 0, 1));
    assert_int_equal(world_stat(world, "pages", "by-fault"), 2);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    assert_int_equal(world_stat(world, "pages", "by-fault") +
                         world_stat(world, "pages", "by-rest"),
                     world_stat(world, "pages", "in-file"));
    world_free(world);
}

static void what_is_read_too_late_does_not_overwrite_the_guest(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    fake_source_await_waiting(world->source);
    memset(world_page(world, 0, 0), 0x11, FAKE_PAGE_BYTES);
    memset(world_page(world, 0, 1), 0x22, FAKE_PAGE_BYTES);
    discard(world, 0, 1);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(world_page(world, 0, 0)[4095], 0x11);
    assert_true(fake_page_is_zero(world_page(world, 0, 1)));
    world_free(world);
}

static void a_page_discarded_after_it_was_placed_reads_as_zeroes(void **state)
{
    World *world = world_new(ram_kind_of(state), 5);
    uint64_t page = page_in_file(world, 0, 100);

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    assert_true(world_page_is_right(world, 0, page));
    discard(world, 0, page);
    assert_true(fake_page_is_zero(world_page(world, 0, page)));
    discard(world, 0, page);
    world_page(world, 0, page)[0] = 1;
    assert_int_equal(world_page(world, 0, page)[0], 1);
    assert_int_equal(world_stat(world, "pages", "zero-on-fault"), 2);
    world_free(world);
}

static void
a_page_that_is_not_in_the_file_is_zero_and_no_demand_fault(void **state)
{
    World *world = world_new(ram_kind_of(state), 5);
    uint64_t page = page_not_in_file(world, 1, 50);

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    assert_true(fake_page_is_zero(world_page(world, 1, page)));
    assert_int_equal(world_stat(world, NULL, "demand-faults"), 0);
    assert_int_equal(world_stat(world, "pages", "zero-on-fault"), 1);
    world_free(world);
}

static void zero_pages_are_never_placed_ahead_of_a_fault(void **state)
{
    World *world = world_new(ram_kind_of(state), 3);
    size_t n_resident = 0;
    static unsigned char resident[WORLD_N_PAGES];

    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(
        mincore(world->memory[0], WORLD_N_PAGES * FAKE_PAGE_BYTES, resident),
        0);
    for (size_t i = 0; i < WORLD_N_PAGES; i++) {
        n_resident += resident[i] & 1;
    }
    assert_int_equal(n_resident, world->snapshot->blocks[0].n_pages_in_file);
    world_free(world);
}

static void a_page_that_cannot_be_read_blocks_until_it_can(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    PageToucher toucher;

    fake_source_break(world->source, 0, 123);
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    world_begin_touch(world, &toucher, 0, 123);
    world_await_failures(world, 1);
    assert_int_equal(world_failure(world).error, EIO);
    assert_int_equal(world_failure(world).off_bytes,
                     world->snapshot->blocks[0].pages_off_bytes +
                         123 * FAKE_PAGE_BYTES);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_FAILED);
    /* Others are served all the while. */
    assert_true(world_page_is_right(world, 0, 124));
    fake_source_mend(world->source);
    pager_retry(world->pager);
    assert_true(world_end_touch(&toucher));
    world_await_state(world, LOAD_STATE_LOADING);
    world_free(world);
}

static void a_load_that_fails_is_not_complete_until_it_is_retried(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_break(world->source, 1, 77);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await_failures(world, 1);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_FAILED);
    assert_false(world_is_loaded(world));
    fake_source_mend(world->source);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

/* As if a thread of low priority held them and did not come to run. */
static void a_fault_needs_no_lock_that_eager_threads_hold(void **state)
{
    World *world = world_new(ram_kind_of(state), 5);
    g_autoptr(PageOrder) order = world_order(world, 0, 0, 3000);

    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    fake_source_await_waiting(world->source);
    pthread_mutex_lock(&world->pager->plan.lock);
    pthread_mutex_lock(&world->pager->lock);
    assert_true(world_page_is_right(world, 0, 5));    /* in flight */
    assert_true(world_page_is_right(world, 0, 2900)); /* of the order */
    assert_true(world_page_is_right(world, 1, 3500)); /* of the rest */
    assert_true(world_page_is_right(world, 0, page_in_file(world, 0, 1)));
    assert_true(world_page_is_right(world, 1, page_not_in_file(world, 1, 50)));
    pthread_mutex_unlock(&world->pager->lock);
    pthread_mutex_unlock(&world->pager->plan.lock);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(everything_is_loaded_by_the_rest_alone),
        FOR_BOTH_KINDS(everything_is_loaded_by_faults_alone),
        FOR_BOTH_KINDS(pages_of_the_order_come_first),
        FOR_BOTH_KINDS(pages_of_the_order_are_read_before_there_is_memory),
        FOR_BOTH_KINDS(a_page_that_is_touched_ahead_of_the_order_comes_late),
        FOR_BOTH_KINDS(an_order_for_other_blocks_does_no_harm),
        FOR_BOTH_KINDS(a_page_in_flight_is_not_waited_for),
        FOR_BOTH_KINDS(what_is_read_too_late_does_not_overwrite_the_guest),
        FOR_BOTH_KINDS(a_page_discarded_after_it_was_placed_reads_as_zeroes),
        FOR_BOTH_KINDS(
            a_page_that_is_not_in_the_file_is_zero_and_no_demand_fault),
        FOR_BOTH_KINDS(zero_pages_are_never_placed_ahead_of_a_fault),
        FOR_BOTH_KINDS(a_page_that_cannot_be_read_blocks_until_it_can),
        FOR_BOTH_KINDS(a_load_that_fails_is_not_complete_until_it_is_retried),
        FOR_BOTH_KINDS(a_fault_needs_no_lock_that_eager_threads_hold),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
