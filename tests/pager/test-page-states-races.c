/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bitmaps that say who loads which page, with several threads at them.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "plugin/pager/page-states.h"

#define N_THREADS  4
#define N_ROUNDS   10
#define RACE_PAGES 65536

/* One of several threads that all go through the same pages. */
typedef struct Racer {
    PageStates *states; /* shared by all */
    PageStates own;     /* with the same pages, for making windows */
    bool take;          /* take the pages, rather than claim them … */
    bool drop;          /* … or drop them: only how many is known */
    uint64_t n_dropped;
    pthread_barrier_t *barrier;
    GRand *random;
    uint8_t counts[RACE_PAGES]; /* how often it got each page */
} Racer;

static void count_window(Racer *racer, const PageWindow *window)
{
    uint64_t page = 0;
    uint64_t n_pages;

    for (; page_window_next_run(window, &page, &n_pages); page += n_pages) {
        for (uint64_t i = 0; i < n_pages; i++) {
            racer->counts[page + i]++;
        }
    }
}

static void *racer_thread(void *opaque)
{
    Racer *racer = opaque;
    uint64_t n_pages;

    pthread_barrier_wait(racer->barrier);
    for (uint64_t first = 0; first < RACE_PAGES; first += n_pages) {
        uint64_t at_most = (uint64_t)g_rand_int_range(racer->random, 1, 130);
        PageWindow window;

        n_pages = MIN(at_most, RACE_PAGES - first);
        if (racer->drop) {
            racer->n_dropped += page_states_drop(racer->states, first, n_pages);
            continue;
        }
        if (racer->take) {
            page_states_claim(&racer->own, first, n_pages, &window);
            page_states_take(racer->states, &window);
        } else {
            page_states_claim(racer->states, first, n_pages, &window);
        }
        count_window(racer, &window);
    }
    return NULL;
}

static void assert_each_page_was_had_once(const Racer *racers)
{
    for (uint64_t page = 0; page < RACE_PAGES; page++) {
        unsigned count = 0;

        for (unsigned i = 0; i < N_THREADS; i++) {
            count += racers[i].counts[page];
        }
        assert_int_equal(count, 1);
    }
}

/* With one thread that drops pages, each page is had by it or by another. */
static void assert_each_page_was_had_once_or_dropped(const Racer *racers,
                                                     const PageStates *states)
{
    uint64_t n_had = 0;

    for (uint64_t page = 0; page < RACE_PAGES; page++) {
        unsigned count = 0;

        for (unsigned i = 0; i < N_THREADS; i++) {
            count += racers[i].counts[page];
        }
        assert_in_range(count, 0, 1);
        assert_false(page_states_is_owed(states, page));
        assert_int_equal(page_states_is_placed(states, page), count == 0);
        n_had += count;
    }
    assert_int_equal(n_had + racers[0].n_dropped, RACE_PAGES);
}

static void run_race(bool take, bool drop)
{
    g_autofree uint64_t *bitmap = g_new(uint64_t, RACE_PAGES / 64);
    g_autofree Racer *racers = g_new0(Racer, N_THREADS);
    PageStates states;
    pthread_barrier_t barrier;
    pthread_t threads[N_THREADS];

    memset(bitmap, 0xff, RACE_PAGES / 8);
    assert_true(page_states_init(&states, bitmap, RACE_PAGES));
    pthread_barrier_init(&barrier, NULL, N_THREADS);
    for (unsigned i = 0; i < N_THREADS; i++) {
        racers[i].states = &states;
        assert_true(page_states_init(&racers[i].own, bitmap, RACE_PAGES));
        racers[i].take = take;
        racers[i].drop = drop && i == 0;
        racers[i].barrier = &barrier;
        racers[i].random = g_rand_new_with_seed(i);
        pthread_create(&threads[i], NULL, racer_thread, &racers[i]);
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        g_rand_free(racers[i].random);
        page_states_clear(&racers[i].own);
    }
    pthread_barrier_destroy(&barrier);
    if (drop) {
        assert_each_page_was_had_once_or_dropped(racers, &states);
    } else {
        assert_each_page_was_had_once(racers);
    }
    page_states_clear(&states);
}

static void each_page_is_claimed_once_by_threads_that_overlap(void **state)
{
    for (unsigned i = 0; i < N_ROUNDS; i++) {
        run_race(false, false);
    }
}

static void each_page_is_taken_once_by_threads_that_overlap(void **state)
{
    for (unsigned i = 0; i < N_ROUNDS; i++) {
        run_race(true, false);
    }
}

static void
each_page_is_taken_or_dropped_once_by_threads_that_overlap(void **state)
{
    for (unsigned i = 0; i < N_ROUNDS; i++) {
        run_race(true, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_page_is_claimed_once_by_threads_that_overlap),
        cmocka_unit_test(each_page_is_taken_once_by_threads_that_overlap),
        cmocka_unit_test(
            each_page_is_taken_or_dropped_once_by_threads_that_overlap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
