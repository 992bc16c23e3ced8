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

#include "plugin/pager/profile-window.h"
#include "tests/pager/ram-kinds.h"
#include "util/clock.h"

#define PAGE_BYTES 4096
#define N_PAGES    4096

typedef struct World {
    RamKind kind;
    uint8_t *memory;
    Recorder *recorder;
    LoadStats *stats;
    ProfileWindow *window;
    ProfileWindowCost cost;
} World;

static uint64_t *word_at(const World *world, uint64_t page, unsigned index)
{
    return (uint64_t *)(void *)(world->memory + page * PAGE_BYTES) + index;
}

static World *world_new(void **state)
{
    World *world = g_new0(World, 1);

    world->kind = ram_kind_of(state);
    world->memory = mmap(
        NULL, (uint64_t)N_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
        MAP_ANONYMOUS | (world->kind == RAM_SHARED ? MAP_SHARED : MAP_PRIVATE),
        -1, 0);
    assert_ptr_not_equal(world->memory, MAP_FAILED);
    world->recorder = recorder_new(1 << 20);
    world->stats = load_stats_new(monotonic_us());
    for (uint64_t page = 0; page < N_PAGES; page++) {
        *word_at(world, page, 511) = page + 1;
    }
    return world;
}

static void world_open(World *world)
{
    const PagerRange range = {"ram", (uintptr_t)world->memory,
                              (uint64_t)N_PAGES * PAGE_BYTES};
    g_autoptr(GError) error = NULL;

    world->window =
        profile_window_open(&range, 1, world->recorder, world->stats, &error);
    if (!world->window) {
        fail_msg("%s", error->message);
    }
}

static void world_close(World *world)
{
    profile_window_close(world->window, &world->cost);
}

static void world_free(World *world)
{
    munmap(world->memory, (uint64_t)N_PAGES * PAGE_BYTES);
    recorder_free(world->recorder);
    load_stats_free(world->stats);
    g_free(world);
}

static PageOrder *make_order(const World *world)
{
    const PageOrderBlock block = {(char *)"ram", (uint64_t)N_PAGES * PAGE_BYTES,
                                  PAGE_BYTES};
    g_autoptr(GArray) blocks =
        g_array_new(FALSE, FALSE, sizeof(PageOrderBlock));
    g_autoptr(GError) error = NULL;

    g_array_append_val(blocks, block);
    PageOrder *order = recorder_to_order(world->recorder, blocks, 0, NULL,
                                         PAGE_ORDER_ORIGIN_SAVE, &error);
    assert_non_null(order);
    return order;
}

static void assert_all_right(const World *world)
{
    for (uint64_t page = 0; page < N_PAGES; page++) {
        assert_int_equal(*word_at(world, page, 511), page + 1);
    }
}

static void discard(const World *world, uint64_t page)
{
    assert_int_equal(
        ram_range_discard(world->kind,
                          (uintptr_t)world->memory + page * PAGE_BYTES,
                          PAGE_BYTES),
        0);
}

static void memory_is_unharmed_by_a_window_without_touches(void **state)
{
    World *world = world_new(state);

    world_open(world);
    world_close(world);
    assert_all_right(world);
    assert_int_equal(recorder_count(world->recorder), 0);
    assert_int_equal(world->cost.pinned_pages, 0);
    world_free(world);
}

static void each_first_touch_is_recorded_once_in_its_sequence(void **state)
{
    World *world = world_new(state);

    world_open(world);
    assert_int_equal(*word_at(world, 700, 511), 701);
    *word_at(world, 30, 0) = 5;
    assert_int_equal(*word_at(world, 700, 511), 701);
    assert_int_equal(*word_at(world, 2000, 511), 2001);
    assert_int_equal(*word_at(world, 30, 511), 31);
    world_close(world);
    assert_all_right(world);
    assert_int_equal(*word_at(world, 30, 0), 5);

    g_autoptr(PageOrder) order = make_order(world);
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

    discard(world, 9);
    world_open(world);
    assert_int_equal(*word_at(world, 9, 511), 0);
    *word_at(world, 9, 3) = 1;
    assert_int_equal(*word_at(world, 9, 3), 1);
    world_close(world);
    assert_int_equal(*word_at(world, 9, 3), 1);
    assert_int_equal(recorder_count(world->recorder), 0);
    world_free(world);
}

static void a_page_discarded_after_its_first_touch_is_zero(void **state)
{
    World *world = world_new(state);

    world_open(world);
    assert_int_equal(*word_at(world, 50, 511), 51);
    discard(world, 50);
    assert_int_equal(*word_at(world, 50, 511), 0);
    world_close(world);
    assert_int_equal(*word_at(world, 50, 511), 0);
    assert_int_equal(recorder_count(world->recorder), 1);
    world_free(world);
}

static void a_page_shared_by_fork_stays_and_counts_as_touched(void **state)
{
    World *world = world_new(state);
    int pipe_fds[2];
    char byte;

    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        close(pipe_fds[1]);
        _exit(read(pipe_fds[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(pipe_fds[0]);
    /* Written to since: this page is ours alone again. */
    *word_at(world, 12, 511) = 13;
    world_open(world);
    world_close(world);
    close(pipe_fds[1]);
    waitpid(child, NULL, 0);
    assert_all_right(world);
    if (world->kind == RAM_ANONYMOUS) {
        assert_int_equal(world->cost.pinned_pages, N_PAGES - 1);
        assert_int_equal(recorder_count(world->recorder), N_PAGES - 1);
    }
    world_free(world);
}

static void memory_that_cannot_be_moved_is_left_alone(void **state)
{
    World *world = world_new(state);
    PagerRange range = {"ram", (uintptr_t)world->memory,
                        (uint64_t)N_PAGES * PAGE_BYTES};
    g_autoptr(GError) error = NULL;

    /* Half of it is gone. */
    munmap(world->memory + N_PAGES / 2 * PAGE_BYTES,
           (uint64_t)N_PAGES / 2 * PAGE_BYTES);
    assert_null(
        profile_window_open(&range, 1, world->recorder, world->stats, &error));
    assert_non_null(error);
    for (uint64_t page = 0; page < N_PAGES / 2; page++) {
        assert_int_equal(*word_at(world, page, 511), page + 1);
    }
    world_free(world);
}

/* A page cannot move between memory that is locked and memory that is not. */
static void memory_that_is_locked_in_a_window_comes_back(void **state)
{
    World *world = world_new(state);

    world_open(world);
    assert_int_equal(mlock(word_at(world, 30, 0), 8 * PAGE_BYTES), 0);
    assert_int_equal(*word_at(world, 31, 511), 32);
    world_close(world);
    assert_all_right(world);
    world_free(world);
}

static void locked_memory_is_refused_and_unharmed(void **state)
{
    World *world = world_new(state);
    PagerRange range = {"ram", (uintptr_t)world->memory,
                        (uint64_t)N_PAGES * PAGE_BYTES};
    g_autoptr(GError) error = NULL;

    if (mlock(world->memory, (uint64_t)N_PAGES * PAGE_BYTES) != 0) {
        print_message("skipped: memory cannot be locked here\n");
        world_free(world);
        skip();
    }
    ProfileWindow *window =
        profile_window_open(&range, 1, world->recorder, world->stats, &error);
    if (window) {
        profile_window_close(window, &world->cost);
    } else {
        assert_non_null(strstr(error->message, "--record"));
    }
    assert_all_right(world);
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
    PagerRange range = {"ram", (uintptr_t)world->memory,
                        (uint64_t)N_PAGES * PAGE_BYTES};
    g_autoptr(GError) error = NULL;

    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        print_message("skipped: memory cannot be locked here\n");
        world_free(world);
        skip();
    }
    reset_peak();
    uint64_t before_kib = peak_kib();
    ProfileWindow *window =
        profile_window_open(&range, 1, world->recorder, world->stats, &error);
    if (window) {
        profile_window_close(window, &world->cost);
    }
    uint64_t after_kib = peak_kib();
    munlockall();
    assert_true(after_kib < before_kib + N_PAGES * PAGE_BYTES / 1024 / 2);
    assert_all_right(world);
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
        uint64_t *word = word_at(toucher->world, page, toucher->index);

        toucher->n_wrong += *word != toucher->counts[page];
        *word = ++toucher->counts[page];
        toucher->n_wrong += *word_at(toucher->world, page, 511) != page + 1;
    }
    return NULL;
}

static uint64_t count_wrong(const Toucher *toucher)
{
    uint64_t n_wrong = toucher->n_wrong;

    for (uint64_t page = 0; page < N_PAGES; page++) {
        n_wrong += *word_at(toucher->world, page, toucher->index) !=
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
    assert_all_right(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(memory_is_unharmed_by_a_window_without_touches),
        FOR_BOTH_KINDS(each_first_touch_is_recorded_once_in_its_sequence),
        FOR_BOTH_KINDS(a_page_that_is_not_there_is_zero_and_not_recorded),
        FOR_BOTH_KINDS(a_page_discarded_after_its_first_touch_is_zero),
        FOR_BOTH_KINDS(a_page_shared_by_fork_stays_and_counts_as_touched),
        FOR_BOTH_KINDS(memory_that_cannot_be_moved_is_left_alone),
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
