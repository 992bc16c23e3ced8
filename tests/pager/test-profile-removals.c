/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory that is given back while a profiling window is open, opens, closes,
 * or fails to open.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tests/pager/profile-world.h"

/* Called before the n-th next move of pages; 0: it is not. */
typedef void Interruption(void *opaque);
static struct {
    _Atomic int n;
    Interruption *function;
    void *opaque;
} interruption;

/* Moves of this page find no memory; 0: none. */
static _Atomic uint64_t page_without_memory;
/* … and all moves. */
static _Atomic bool no_memory;

int __real_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);
int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);

int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done)
{
    if (atomic_load(&interruption.n) > 0 &&
        atomic_fetch_sub(&interruption.n, 1) == 1) {
        interruption.function(interruption.opaque);
    }
    if (dst == atomic_load(&page_without_memory) || atomic_load(&no_memory)) {
        *ret_done = 0;
        return -ENOMEM;
    }
    return __real_uffd_move(fd, dst, src, len, skip_holes, ret_done);
}

static void interrupt_move(int n, Interruption *function, void *opaque)
{
    interruption.function = function;
    interruption.opaque = opaque;
    atomic_store(&interruption.n, n);
}

/* ---- one thread ---- */

static void assert_zeroes(const World *world, uint64_t page, uint64_t n)
{
    for (uint64_t i = page; i < page + n; i++) {
        assert_int_equal(*world_word(world, i, 511), 0);
    }
}

/* Half of the memory is free, or will be in a moment: whoever gives back goes
 * on as soon as the window knows of it. */
static void await_half_free(const World *world, uint64_t before_bytes)
{
    uint64_t freed_bytes;

    do {
        freed_bytes = before_bytes - world_resident_bytes(world);
    } while ((int64_t)freed_bytes < (int64_t)world->len_bytes * 4 / 10);
    assert_in_range(freed_bytes, world->len_bytes * 4 / 10,
                    world->len_bytes * 6 / 10);
}

static void memory_given_back_in_a_window_is_free_and_zero(void **state)
{
    World *world = world_new(state);

    world_open(world);
    /* Of the half that is given back, some pages were touched. */
    for (uint64_t page = 0; page < 100; page++) {
        assert_int_equal(*world_word(world, page * 7, 511), page * 7 + 1);
    }
    uint64_t before = world_resident_bytes(world);
    world_give_back(world, 0, N_PAGES / 2);
    await_half_free(world, before);

    assert_zeroes(world, 0, N_PAGES / 4);
    world_close(world);
    assert_zeroes(world, 0, N_PAGES / 2);
    for (uint64_t page = N_PAGES / 2; page < N_PAGES; page++) {
        assert_int_equal(*world_word(world, page, 511), page + 1);
    }
    assert_int_equal(recorder_count(world->recorder), 100);
    world_free(world);
}

static void a_page_given_back_can_be_written_and_given_back_again(void **state)
{
    World *world = world_new(state);

    world_open(world);
    for (uint64_t round = 1; round <= 3; round++) {
        world_give_back(world, 77, 1);
        assert_zeroes(world, 77, 1);
        *world_word(world, 77, 511) = round;
        assert_int_equal(*world_word(world, 77, 511), round);
    }
    world_close(world);
    assert_int_equal(*world_word(world, 77, 511), 3);
    assert_int_equal(recorder_count(world->recorder), 0);
    world_free(world);
}

static void memory_can_be_given_back_once_the_window_is_closed(void **state)
{
    World *world = world_new(state);

    world_open(world);
    world_give_back(world, 0, N_PAGES / 2);
    world_close(world);
    uint64_t before = world_resident_bytes(world);
    world_give_back(world, N_PAGES / 2, N_PAGES / 2);
    await_half_free(world, before);
    assert_zeroes(world, 0, N_PAGES);
    world_free(world);
}

/* What is given back reaches beyond the memory that is watched. */
static void memory_given_back_together_with_other_memory_is_zero(void **state)
{
    World *world = world_new(state);
    const PagerRange range = {"ram", (uintptr_t)world->memory + 64 * PAGE_BYTES,
                              world->len_bytes - 128 * PAGE_BYTES};
    g_autoptr(GError) error = NULL;

    world->window =
        profile_window_open(&range, 1, world->recorder, world->stats, &error);
    assert_non_null(world->window);
    world_give_back(world, 32, 64);
    world_give_back(world, N_PAGES - 96, 64);
    assert_zeroes(world, 32, 64);
    assert_zeroes(world, N_PAGES - 96, 64);
    assert_int_equal(*world_word(world, 31, 511), 32);
    assert_int_equal(*world_word(world, 96, 511), 97);
    world_close(world);
    assert_zeroes(world, 32, 64);
    assert_zeroes(world, N_PAGES - 96, 64);
    assert_int_equal(*world_word(world, N_PAGES - 32, 511), N_PAGES - 31);
    world_free(world);
}

/* ---- while a window opens, fails to open, closes ---- */

typedef struct Giver {
    const World *world;
    uint64_t page;
    uint64_t n_pages;
    pthread_t thread;
    bool started;
} Giver;

static void *give_back(void *opaque)
{
    const Giver *giver = opaque;

    world_give_back(giver->world, giver->page, giver->n_pages);
    return NULL;
}

static void start_giver(void *opaque)
{
    Giver *giver = opaque;

    assert_int_equal(pthread_create(&giver->thread, NULL, give_back, giver), 0);
    giver->started = true;
}

static void join_giver(const Giver *giver)
{
    assert_true(giver->started);
    assert_int_equal(pthread_join(giver->thread, NULL), 0);
}

static void memory_given_back_while_a_window_opens_is_zero(void **state)
{
    for (unsigned round = 0; round < 20; round++) {
        World *world = world_new(state);
        Giver giver = {world, 100, 3000};

        interrupt_move(1, start_giver, &giver);
        world_open(world);
        join_giver(&giver);
        assert_zeroes(world, 100, 1000);
        world_close(world);
        assert_zeroes(world, 100, 3000);
        assert_int_equal(*world_word(world, 99, 511), 100);
        assert_int_equal(*world_word(world, 3100, 511), 3101);
        world_free(world);
    }
}

static void start_giver_and_run_out_of_memory(void *opaque)
{
    start_giver(opaque);
    atomic_store(&no_memory, true);
}

/* A window that can neither open nor move its pages back just now does not
 * hold up who gives memory back. */
static void memory_given_back_while_a_window_fails_to_open_is_zero(void **state)
{
    World *world = world_new(state);
    Giver giver = {world, 500, 3000};

    /* A hole, so that it takes two moves; and the second fails. */
    world_give_back(world, 1000, 1000);
    interrupt_move(2, start_giver_and_run_out_of_memory, &giver);
    g_autoptr(GError) error = world_try_open(world);
    atomic_store(&no_memory, false);
    join_giver(&giver);
    assert_non_null(error);
    assert_zeroes(world, 500, 3000);
    assert_int_equal(*world_word(world, 499, 511), 500);
    assert_int_equal(*world_word(world, 3500, 511), 3501);
    world_free(world);
}

static void memory_given_back_while_a_window_closes_is_zero(void **state)
{
    for (unsigned round = 0; round < 20; round++) {
        World *world = world_new(state);
        Giver giver = {world, 100, 3000};

        world_open(world);
        interrupt_move(1, start_giver, &giver);
        world_close(world);
        join_giver(&giver);
        assert_zeroes(world, 100, 3000);
        assert_int_equal(*world_word(world, 99, 511), 100);
        assert_int_equal(*world_word(world, 3100, 511), 3101);
        world_free(world);
    }
}

/* ---- while a page cannot be had ---- */

typedef struct Toucher {
    const World *world;
    uint64_t page;
    uint64_t found;
    pthread_t thread;
} Toucher;

static void *touch(void *opaque)
{
    Toucher *toucher = opaque;

    toucher->found = *world_word(toucher->world, toucher->page, 511);
    return NULL;
}

static uint64_t faults_begun(const World *world)
{
    json_t *json =
        load_stats_to_json(world->stats, LOAD_POLICY_DEMAND, LOAD_STATE_LOADED);
    json_int_t n = json_integer_value(json_object_get(json, "demand-faults"));

    json_decref(json);
    return (uint64_t)n;
}

static void await_faults(const World *world, uint64_t n)
{
    while (faults_begun(world) < n) {
        sched_yield();
    }
}

static void start_toucher(Toucher *toucher)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    assert_int_equal(
        pthread_create(&toucher->thread, &attributes, touch, toucher), 0);
    pthread_attr_destroy(&attributes);
}

static void join_toucher(const Toucher *toucher)
{
    assert_int_equal(pthread_join(toucher->thread, NULL), 0);
    assert_int_equal(toucher->found, toucher->page + 1);
}

static void memory_can_be_given_back_while_a_page_cannot_be_had(void **state)
{
    World *world = world_new(state);
    Toucher toucher = {world, 5, 0, 0};

    world_open(world);
    atomic_store(&page_without_memory,
                 (uintptr_t)world->memory + toucher.page * PAGE_BYTES);
    start_toucher(&toucher);
    await_faults(world, 1);
    world_give_back(world, 1000, 100);
    assert_zeroes(world, 1000, 100);
    atomic_store(&page_without_memory, 0);
    join_toucher(&toucher);
    world_close(world);
    world_free(world);
}

static void a_window_closes_though_a_page_cannot_be_had_at_first(void **state)
{
    World *world = world_new(state);
    Toucher toucher = {world, 5, 0, 0};

    world_open(world);
    atomic_store(&page_without_memory,
                 (uintptr_t)world->memory + toucher.page * PAGE_BYTES);
    start_toucher(&toucher);
    await_faults(world, 1);
    /* The closing moves it together with others, and so wakes. */
    world_close(world);
    atomic_store(&page_without_memory, 0);
    join_toucher(&toucher);
    world_assert_right(world);
    world_free(world);
}

/* More than the window keeps an account of. */
#define N_TOUCHERS 300

static void three_hundred_threads_may_wait_for_memory_at_once(void **state)
{
    World *world = world_new(state);
    g_autofree Toucher *touchers = g_new0(Toucher, N_TOUCHERS);

    world_open(world);
    atomic_store(&no_memory, true);
    for (unsigned i = 0; i < N_TOUCHERS; i++) {
        touchers[i] = (Toucher){world, i * 3, 0, 0};
        start_toucher(&touchers[i]);
    }
    await_faults(world, N_TOUCHERS);
    atomic_store(&no_memory, false);
    for (unsigned i = 0; i < N_TOUCHERS; i++) {
        join_toucher(&touchers[i]);
    }
    world_close(world);
    world_assert_right(world);
    /* A page that the kernel would not move just as the window opened (-EBUSY)
     * stays in place, and its first touch is not seen. */
    assert_in_range(recorder_count(world->recorder),
                    N_TOUCHERS - MIN(N_TOUCHERS, world->cost.pinned_pages),
                    N_TOUCHERS);
    world_free(world);
}

/* ---- all at once ---- */

#define N_READERS     3
#define FIRST_GIVEN   3072 /* pages from here on are the giver's */
#define N_ROUNDS      30
#define MIN_NEW_TOUCH 50

typedef struct Crowd {
    pthread_mutex_t giving; /* held while something is given back */
    World *world;
    _Atomic bool end;
    _Atomic uint64_t n_given;
    _Atomic uint64_t n_wrong;
} Crowd;

/* Nobody else writes these pages, so each must be zero that was given back,
 * however many read it at the same time. */
static void *give_back_and_check(void *opaque)
{
    Crowd *crowd = opaque;
    unsigned seed = 1;

    while (!atomic_load(&crowd->end)) {
        uint64_t n = 1 + (unsigned)rand_r(&seed) % 8;
        uint64_t page =
            FIRST_GIVEN + (unsigned)rand_r(&seed) % (N_PAGES - FIRST_GIVEN - n);

        pthread_mutex_lock(&crowd->giving);
        world_give_back(crowd->world, page, n);
        pthread_mutex_unlock(&crowd->giving);
        for (uint64_t i = page; i < page + n; i++) {
            uint64_t *word = world_word(crowd->world, i, 511);

            atomic_fetch_add(&crowd->n_wrong,
                             __atomic_load_n(word, __ATOMIC_RELAXED) != 0);
            __atomic_store_n(word, i + 1, __ATOMIC_RELAXED);
        }
        atomic_fetch_add(&crowd->n_given, n);
    }
    return NULL;
}

static void *read_all(void *opaque)
{
    Crowd *crowd = opaque;
    unsigned seed = (unsigned)(uintptr_t)pthread_self();

    while (!atomic_load(&crowd->end)) {
        uint64_t page = (unsigned)rand_r(&seed) % N_PAGES;
        uint64_t found = __atomic_load_n(world_word(crowd->world, page, 511),
                                         __ATOMIC_RELAXED);

        atomic_fetch_add(&crowd->n_wrong,
                         found != page + 1 &&
                             !(found == 0 && page >= FIRST_GIVEN));
    }
    return NULL;
}

static void await_touches_and_gifts(Crowd *crowd)
{
    size_t touches = recorder_count(crowd->world->recorder) + MIN_NEW_TOUCH;
    uint64_t given = atomic_load(&crowd->n_given) + MIN_NEW_TOUCH;

    while (recorder_count(crowd->world->recorder) < touches ||
           atomic_load(&crowd->n_given) < given) {
        sched_yield();
    }
}

/* Who was let go by one window is done before the next one opens, as QEMU's
 * main loop is, which gives back and carries out the commands of a save. */
static void await_giver(Crowd *crowd)
{
    pthread_mutex_lock(&crowd->giving);
    pthread_mutex_unlock(&crowd->giving);
}

static void
what_is_given_back_is_zero_while_windows_open_and_close(void **state)
{
    World *world = world_new(state);
    Crowd crowd = {.giving = PTHREAD_MUTEX_INITIALIZER, .world = world};
    pthread_t threads[N_READERS + 1];

    /* Huge pages, where there are any: these are split on the way. */
    (void)madvise(world->memory, world->len_bytes, MADV_HUGEPAGE);
    for (unsigned i = 0; i <= N_READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i == 0 ? give_back_and_check : read_all,
                                        &crowd),
                         0);
    }
    for (unsigned round = 0; round < N_ROUNDS; round++) {
        world_open(world);
        await_touches_and_gifts(&crowd);
        world_close(world);
        await_giver(&crowd);
    }
    atomic_store(&crowd.end, true);
    for (unsigned i = 0; i <= N_READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&crowd.n_wrong), 0);
    world_assert_right(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(memory_given_back_in_a_window_is_free_and_zero),
        FOR_BOTH_KINDS(a_page_given_back_can_be_written_and_given_back_again),
        FOR_BOTH_KINDS(memory_can_be_given_back_once_the_window_is_closed),
        FOR_BOTH_KINDS(memory_given_back_together_with_other_memory_is_zero),
        FOR_ANONYMOUS(memory_given_back_while_a_window_opens_is_zero),
        FOR_ANONYMOUS(memory_given_back_while_a_window_fails_to_open_is_zero),
        FOR_ANONYMOUS(memory_given_back_while_a_window_closes_is_zero),
        FOR_ANONYMOUS(memory_can_be_given_back_while_a_page_cannot_be_had),
        FOR_ANONYMOUS(a_window_closes_though_a_page_cannot_be_had_at_first),
        FOR_ANONYMOUS(three_hundred_threads_may_wait_for_memory_at_once),
        FOR_BOTH_KINDS(what_is_given_back_is_zero_while_windows_open_and_close),
    };

    if (!have_userfaultfd(UFFD_CAN_MOVE | UFFD_CAN_MINOR)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
