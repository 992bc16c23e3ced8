/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager's threads: what they read with, in which sequence and at which
 * priority, and that they end.
 */
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "tests/pager/pager-world.h"

static size_t count_entries(const char *directory)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    size_t n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    return n;
}

static void *do_nothing(void *opaque)
{
    return opaque;
}

/* A sanitizer starts one of its own with the first. */
static void have_had_a_thread(void)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    pthread_join(thread, NULL);
}

static void a_released_pager_leaves_no_thread_and_no_descriptor(void **state)
{
    World *world = world_new(ram_kind_of(state), 5);

    have_had_a_thread();
    size_t n_fds = count_entries("/proc/self/fd");
    size_t n_threads = count_entries("/proc/self/task");

    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    pager_release(world->pager);
    /* The kernel lists a thread a moment longer than one waits for it. */
    while (count_entries("/proc/self/task") > n_threads) {
        sched_yield();
    }
    assert_int_equal(count_entries("/proc/self/fd"), n_fds);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_LOADED);
    world_assert_all_right(world);
    world_free(world);
}

static void a_pager_that_fails_can_be_freed(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_break(world->source, 0, 0);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await_failures(world, 1);
    world_free(world);
}

static void a_pager_that_was_never_attached_can_be_freed(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 0, 0, 3000);

    world_start(world, LOAD_POLICY_ORDER, order);
    world_free(world);
}

static void everything_is_loaded_from_an_asynchronous_source(void **state)
{
    World *world = world_new(ram_kind_of(state), 6);
    g_autoptr(PageOrder) order = world_order(world, 1, 1000, 500);

    fake_source_make_asynchronous(world->source);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    assert_true(world_page_is_right(world, 0, 4000));
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    world_free(world);
}

static void the_rest_is_read_in_the_sequence_that_the_source_likes(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_reverse(world->source);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(fake_source_read_at(world->source, 0).block,
                     WORLD_N_BLOCKS - 1);
    world_free(world);
}

/* The nice value of a thread of that name; INT_MAX: there is none. */
static int nice_of(const char *name)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    const char *id;
    int nice = INT_MAX;

    while (nice == INT_MAX && (id = g_dir_read_name(dir))) {
        g_autofree char *path = g_strdup_printf("/proc/self/task/%s/comm", id);
        g_autofree char *comm = NULL;

        if (g_file_get_contents(path, &comm, NULL, NULL) &&
            strcmp(g_strchomp(comm), name) == 0) {
            nice = getpriority(PRIO_PROCESS, (id_t)atoi(id));
        }
    }
    return nice;
}

static void who_reads_the_rest_gives_way_and_who_places_does_not(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    fake_source_await_waiting(world->source);
    int own = getpriority(PRIO_PROCESS, 0);
    assert_int_equal(nice_of("preheat-fault"), own);
    assert_int_equal(nice_of("preheat-place"), own);
    while (nice_of("preheat-eager") == own && own < 19) {
        sched_yield();
    }
    assert_in_range(nice_of("preheat-eager"), MIN(own + 1, 19), 19);
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_ALL);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(a_released_pager_leaves_no_thread_and_no_descriptor),
        FOR_BOTH_KINDS(a_pager_that_fails_can_be_freed),
        FOR_BOTH_KINDS(a_pager_that_was_never_attached_can_be_freed),
        FOR_BOTH_KINDS(everything_is_loaded_from_an_asynchronous_source),
        FOR_BOTH_KINDS(the_rest_is_read_in_the_sequence_that_the_source_likes),
        FOR_BOTH_KINDS(who_reads_the_rest_gives_way_and_who_places_does_not),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
