/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager with a snapshot that is slow to read, or is changed.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin/pager/uffd.h"
#include "tests/pager/pager-world.h"

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
