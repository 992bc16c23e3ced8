/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profiling window on plain mappings that are in use all the while.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/pager/profile-world.h"

static void memory_is_unharmed_by_a_window_without_touches(void **state)
{
    World *world = world_new(state);

    world_open(world);
    world_close(world);
    world_assert_right(world);
    assert_int_equal(recorder_count(world->recorder), 0);
    assert_int_equal(world->cost.pinned_pages, 0);
    world_free(world);
}

static void each_first_touch_is_recorded_once_in_its_sequence(void **state)
{
    World *world = world_new(state);

    world_open(world);
    assert_int_equal(*world_word(world, 700, 511), 701);
    *world_word(world, 30, 0) = 5;
    assert_int_equal(*world_word(world, 700, 511), 701);
    assert_int_equal(*world_word(world, 2000, 511), 2001);
    assert_int_equal(*world_word(world, 30, 511), 31);
    world_close(world);
    world_assert_right(world);
    assert_int_equal(*world_word(world, 30, 0), 5);

    g_autoptr(PageOrder) order = world_order(world);
    assert_int_equal(order->extents->len, 3);
    assert_int_equal(page_order_extent(order, 0)->span.first_page, 700);
    assert_int_equal(page_order_extent(order, 0)->access, PAGE_ACCESS_READ);
    assert_int_equal(page_order_extent(order, 1)->span.first_page, 30);
    assert_int_equal(page_order_extent(order, 1)->access, PAGE_ACCESS_WRITE);
    assert_int_equal(page_order_extent(order, 2)->span.first_page, 2000);
    world_free(world);
}

static void a_page_that_is_not_there_is_zero_and_not_recorded(void **state)
{
    World *world = world_new(state);

    world_give_back(world, 9, 1);
    world_open(world);
    assert_int_equal(*world_word(world, 9, 511), 0);
    *world_word(world, 9, 3) = 1;
    assert_int_equal(*world_word(world, 9, 3), 1);
    world_close(world);
    assert_int_equal(*world_word(world, 9, 3), 1);
    assert_int_equal(recorder_count(world->recorder), 0);
    world_free(world);
}

static void a_page_discarded_after_its_first_touch_is_zero(void **state)
{
    World *world = world_new(state);

    world_open(world);
    assert_int_equal(*world_word(world, 50, 511), 51);
    world_give_back(world, 50, 1);
    assert_int_equal(*world_word(world, 50, 511), 0);
    world_close(world);
    assert_int_equal(*world_word(world, 50, 511), 0);
    assert_int_equal(recorder_count(world->recorder), 1);
    world_free(world);
}

static void memory_that_is_half_gone_is_refused_and_left_alone(void **state)
{
    World *world = world_new(state);

    munmap(world->memory + world->len_bytes / 2, world->len_bytes / 2);
    g_autoptr(GError) error = world_try_open(world);
    assert_non_null(error);
    for (uint64_t page = 0; page < N_PAGES / 2; page++) {
        assert_int_equal(*world_word(world, page, 511), page + 1);
    }
    world_free(world);
}

/* A page cannot move between memory that is locked and memory that is not. */
static void memory_that_is_locked_in_a_window_comes_back(void **state)
{
    World *world = world_new(state);

    world_open(world);
    assert_int_equal(mlock(world_word(world, 30, 0), 8 * PAGE_BYTES), 0);
    assert_int_equal(*world_word(world, 31, 511), 32);
    world_close(world);
    world_assert_right(world);
    world_free(world);
}

static void locked_memory_is_refused_and_unharmed(void **state)
{
    World *world = world_new(state);

    if (mlock(world->memory, (uint64_t)N_PAGES * PAGE_BYTES) != 0) {
        print_message("skipped: memory cannot be locked here\n");
        world_free(world);
        skip();
    }
    g_autoptr(GError) error = world_try_open(world);
    if (error) {
        assert_non_null(strstr(error->message, "--record"));
    } else {
        world_close(world);
    }
    world_assert_right(world);
    world_free(world);
}

/* How much memory the process had at the most since the last reset, in KiB. */
static uint64_t peak_kib(void)
{
    g_autofree char *text = NULL;

    assert_true(g_file_get_contents("/proc/self/status", &text, NULL, NULL));
    const char *peak = strstr(text, "\nVmHWM:");
    assert_non_null(peak);
    return g_ascii_strtoull(peak + strlen("\nVmHWM:"), NULL, 10);
}

static void reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");

    assert_non_null(file);
    fputs("5", file);
    fclose(file);
}

static void
a_process_that_locks_all_its_memory_needs_no_more_of_it(void **state)
{
    World *world = world_new(state);

    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        print_message("skipped: memory cannot be locked here\n");
        world_free(world);
        skip();
    }
    reset_peak();
    uint64_t before_kib = peak_kib();
    g_autoptr(GError) error = world_try_open(world);
    if (!error) {
        world_close(world);
    }
    uint64_t after_kib = peak_kib();
    munlockall();
    assert_true(after_kib < before_kib + N_PAGES * PAGE_BYTES / 1024 / 2);
    world_assert_right(world);
    world_free(world);
}

/* ---- threads that use the memory all the while ---- */

#define N_TOUCHERS 4

typedef struct Toucher {
    World *world;
    unsigned index; /* its word in each page, and its seed */
    _Atomic bool *end;
    uint64_t *counts; /* what its word should be, by page */
    uint64_t n_wrong;
} Toucher;

static void *toucher_thread(void *opaque)
{
    Toucher *toucher = opaque;
    unsigned seed = toucher->index;

    while (!atomic_load(toucher->end)) {
        uint64_t page = (unsigned)rand_r(&seed) % N_PAGES;
        uint64_t *word = world_word(toucher->world, page, toucher->index);

        toucher->n_wrong += *word != toucher->counts[page];
        *word = ++toucher->counts[page];
        toucher->n_wrong += *world_word(toucher->world, page, 511) != page + 1;
    }
    return NULL;
}

static uint64_t count_wrong(const Toucher *toucher)
{
    uint64_t n_wrong = toucher->n_wrong;

    for (uint64_t page = 0; page < N_PAGES; page++) {
        n_wrong += *world_word(toucher->world, page, toucher->index) !=
                   toucher->counts[page];
    }
    return n_wrong;
}

static void await_touches(World *world, size_t n)
{
    while (recorder_count(world->recorder) < n) {
        sched_yield();
    }
}

static void no_word_is_lost_while_windows_open_and_close(void **state)
{
    World *world = world_new(state);
    _Atomic bool end = false;
    pthread_t threads[N_TOUCHERS];
    Toucher touchers[N_TOUCHERS];

    for (unsigned i = 0; i < N_TOUCHERS; i++) {
        touchers[i] = (Toucher){world, i, &end, g_new0(uint64_t, N_PAGES), 0};
        assert_int_equal(
            pthread_create(&threads[i], NULL, toucher_thread, &touchers[i]), 0);
    }
    for (unsigned round = 1; round <= 20; round++) {
        size_t before = recorder_count(world->recorder);

        world_open(world);
        await_touches(world, before + round * 50);
        world_close(world);
    }
    atomic_store(&end, true);
    for (unsigned i = 0; i < N_TOUCHERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(count_wrong(&touchers[i]), 0);
        g_free(touchers[i].counts);
    }
    world_assert_right(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(memory_is_unharmed_by_a_window_without_touches),
        FOR_BOTH_KINDS(each_first_touch_is_recorded_once_in_its_sequence),
        FOR_BOTH_KINDS(a_page_that_is_not_there_is_zero_and_not_recorded),
        FOR_BOTH_KINDS(a_page_discarded_after_its_first_touch_is_zero),
        FOR_BOTH_KINDS(memory_that_is_half_gone_is_refused_and_left_alone),
        FOR_BOTH_KINDS(locked_memory_is_refused_and_unharmed),
        FOR_BOTH_KINDS(memory_that_is_locked_in_a_window_comes_back),
        FOR_BOTH_KINDS(a_process_that_locks_all_its_memory_needs_no_more_of_it),
        FOR_BOTH_KINDS(no_word_is_lost_while_windows_open_and_close),
    };

    if (!have_userfaultfd(UFFD_CAN_MOVE | UFFD_CAN_MINOR)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
