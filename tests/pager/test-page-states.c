/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bitmaps that say who loads which page.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include "plugin/pager/page-states.h"

#define N_PAGES 1000 /* no multiple of 64 */
#define N_WORDS 16

static const uint64_t all_pages[N_WORDS] = {
    [0 ... N_WORDS - 2] = UINT64_MAX,
    [N_WORDS - 1] = (UINT64_C(1) << (N_PAGES % 64)) - 1,
};

static void states_init(PageStates *states, const uint64_t *bitmap)
{
    assert_true(page_states_init(states, bitmap, N_PAGES));
}

/* The window has exactly the n_pages from first_page on. */
static void assert_window(const PageWindow *window, uint64_t first_page,
                          uint64_t n_pages)
{
    for (uint64_t page = 0; page < N_PAGES; page++) {
        bool expected = page >= first_page && page - first_page < n_pages;

        if (page_window_has(window, page) != expected) {
            fail_msg("page %" PRIu64 " is %s the window", page,
                     expected ? "not in" : "in");
        }
    }
}

static void assert_bounds(const PageWindow *window, uint64_t first_page,
                          uint64_t n_pages)
{
    uint64_t found_first;
    uint64_t found_n;

    page_window_bounds(window, &found_first, &found_n);
    assert_int_equal(found_first, first_page);
    assert_int_equal(found_n, n_pages);
}

/* The next run in the window from *page on, which goes on behind it. */
static void assert_run(const PageWindow *window, uint64_t *page,
                       uint64_t first_page, uint64_t n_pages)
{
    uint64_t run_pages;

    assert_true(page_window_next_run(window, page, &run_pages));
    assert_int_equal(*page, first_page);
    assert_int_equal(run_pages, n_pages);
    *page += run_pages;
}

static void assert_no_run(const PageWindow *window, uint64_t page)
{
    uint64_t run_pages;

    assert_false(page_window_next_run(window, &page, &run_pages));
}

/* ---- the bitmaps ---- */

static void pages_in_the_file_are_pending_and_all_others_placed(void **state)
{
    const uint64_t bitmap[N_WORDS] = {
        [0] = 0x8000000000000001, [15] = UINT64_C(1) << 39};
    PageStates states;

    states_init(&states, bitmap);
    for (uint64_t page = 0; page < N_PAGES; page++) {
        bool in_file = page == 0 || page == 63 || page == N_PAGES - 1;

        assert_int_equal(page_states_is_owed(&states, page), in_file);
        assert_int_equal(page_states_is_placed(&states, page), !in_file);
        assert_int_equal(
            page_states_next_pending(&states, page, states.n_pages) == page,
            in_file);
    }
    page_states_clear(&states);
}

static void a_block_without_pages_has_nothing_pending(void **state)
{
    PageStates states;

    assert_true(page_states_init(&states, NULL, 0));
    assert_int_equal(page_states_next_pending(&states, 0, states.n_pages), 0);
    page_states_clear(&states);
}

static void cleared_states_can_be_cleared_again(void **state)
{
    PageStates states;

    states_init(&states, all_pages);
    page_states_clear(&states);
    assert_int_equal(states.n_pages, 0);
    page_states_clear(&states);
}

static void the_next_pending_page_is_found_over_empty_words(void **state)
{
    const uint64_t bitmap[N_WORDS] = {
        [2] = 1, [5] = 1, [9] = UINT64_C(1) << 63};
    PageStates states;

    states_init(&states, bitmap);
    assert_int_equal(page_states_next_pending(&states, 0, states.n_pages), 128);
    assert_int_equal(page_states_next_pending(&states, 128, states.n_pages),
                     128);
    assert_int_equal(page_states_next_pending(&states, 129, states.n_pages),
                     320);
    assert_int_equal(page_states_next_pending(&states, 321, states.n_pages),
                     639);
    assert_int_equal(page_states_next_pending(&states, 639, states.n_pages),
                     639);
    assert_int_equal(page_states_next_pending(&states, 640, states.n_pages),
                     N_PAGES);
    assert_int_equal(page_states_next_pending(&states, N_PAGES, states.n_pages),
                     N_PAGES);
    page_states_clear(&states);
}

static void what_is_pending_is_counted_in_all_and_of_a_set(void **state)
{
    const uint64_t bitmap[N_WORDS] = {[0] = 7, [2] = 1, [9] = 3};
    const uint64_t set[N_WORDS] = {[0] = 6, [1] = 1, [9] = 2};
    PageStates states;
    PageWindow window;
    uint64_t n_of_set;

    states_init(&states, bitmap);
    assert_int_equal(page_states_count_all_pending(&states, set, &n_of_set), 6);
    assert_int_equal(n_of_set, 3);
    page_states_claim(&states, 1, 100, &window);
    assert_int_equal(page_states_count_all_pending(&states, set, &n_of_set), 4);
    assert_int_equal(n_of_set, 1);
    page_states_clear(&states);
}

/* ---- claiming ---- */

static void a_claim_takes_exactly_its_pages_over_word_borders(void **state)
{
    static const struct {
        uint64_t first_page;
        uint64_t n_pages;
        size_t n_words;
    } claims[] = {
        {0, 1, 1},   {63, 1, 1},   {63, 2, 2},    {64, 64, 1},
        {60, 10, 2}, {1, 512, 9},  {63, 512, 9},  {0, 512, 8},
        {999, 1, 1}, {960, 40, 1}, {488, 512, 9},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(claims); i++) {
        PageStates states;
        PageWindow window;

        states_init(&states, all_pages);
        assert_int_equal(page_states_claim(&states, claims[i].first_page,
                                           claims[i].n_pages, &window),
                         claims[i].n_pages);
        assert_int_equal(window.n_words, claims[i].n_words);
        assert_window(&window, claims[i].first_page, claims[i].n_pages);
        assert_bounds(&window, claims[i].first_page, claims[i].n_pages);
        for (uint64_t page = 0; page < N_PAGES; page++) {
            bool claimed = page >= claims[i].first_page &&
                           page - claims[i].first_page < claims[i].n_pages;

            assert_int_equal(
                page_states_next_pending(&states, page, states.n_pages) != page,
                claimed);
            assert_true(page_states_is_owed(&states, page));
            assert_false(page_states_is_placed(&states, page));
        }
        page_states_clear(&states);
    }
}

static void
a_claim_leaves_out_what_was_claimed_or_is_not_in_the_file(void **state)
{
    const uint64_t bitmap[N_WORDS] = {0xff0f, 0x1};
    PageStates states;
    PageWindow window;

    states_init(&states, bitmap);
    assert_int_equal(page_states_claim(&states, 2, 8, &window), 4);
    assert_int_equal(window.words[0], 0x30c);
    assert_int_equal(page_states_claim(&states, 0, 100, &window), 9);
    assert_int_equal(window.words[0], 0xfc03);
    assert_int_equal(window.words[1], 0x1);
    assert_int_equal(page_states_claim(&states, 0, 100, &window), 0);
    assert_int_equal(page_states_next_pending(&states, 0, states.n_pages),
                     N_PAGES);
    page_states_clear(&states);
}

/* ---- placing ---- */

static void what_was_taken_by_somebody_else_leaves_the_window(void **state)
{
    PageStates states;
    PageWindow window;
    PageWindow one;

    states_init(&states, all_pages);
    page_states_claim(&states, 100, 100, &window);
    page_window_set_one(&one, 128);
    assert_int_equal(page_states_take(&states, &one), 1);
    assert_int_equal(page_states_take(&states, &one), 0);

    assert_int_equal(page_states_take(&states, &window), 99);
    assert_false(page_window_has(&window, 128));
    assert_true(page_window_has(&window, 127));
    assert_true(page_window_has(&window, 129));
    assert_int_equal(page_states_take(&states, &window), 0);
    page_states_clear(&states);
}

static void taken_pages_are_neither_owed_nor_placed_until_said_so(void **state)
{
    PageStates states;
    PageWindow window;

    states_init(&states, all_pages);
    page_states_claim(&states, 60, 10, &window);
    page_states_take(&states, &window);
    assert_false(page_states_is_owed(&states, 60));
    assert_false(page_states_is_placed(&states, 60));

    page_states_set_placed(&states, &window);
    for (uint64_t page = 0; page < N_PAGES; page++) {
        bool placed = page >= 60 && page < 70;

        assert_int_equal(page_states_is_placed(&states, page), placed);
        assert_int_equal(page_states_is_owed(&states, page), !placed);
    }
    page_states_clear(&states);
}

/* ---- dropping ---- */

static void dropped_pages_count_as_placed_exactly_those(void **state)
{
    static const struct {
        uint64_t first_page;
        uint64_t n_pages;
    } drops[] = {{0, 1},   {63, 1},   {63, 2},  {64, 64}, {60, 10},
                 {1, 700}, {0, 1000}, {999, 1}, {5, 0},   {960, 40}};

    for (size_t i = 0; i < G_N_ELEMENTS(drops); i++) {
        PageStates states;

        states_init(&states, all_pages);
        assert_int_equal(
            page_states_drop(&states, drops[i].first_page, drops[i].n_pages),
            drops[i].n_pages);
        for (uint64_t page = 0; page < N_PAGES; page++) {
            bool dropped = page >= drops[i].first_page &&
                           page - drops[i].first_page < drops[i].n_pages;

            assert_int_equal(page_states_is_owed(&states, page), !dropped);
            assert_int_equal(page_states_is_placed(&states, page), dropped);
            assert_int_equal(
                page_states_next_pending(&states, page, states.n_pages) != page,
                dropped);
        }
        assert_int_equal(page_states_drop(&states, 0, N_PAGES),
                         N_PAGES - drops[i].n_pages);
        page_states_clear(&states);
    }
}

static void a_dropped_page_that_was_claimed_is_placed_by_nobody(void **state)
{
    PageStates states;
    PageWindow window;

    states_init(&states, all_pages);
    page_states_claim(&states, 100, 100, &window);
    assert_int_equal(page_states_drop(&states, 128, 1), 1);
    assert_int_equal(page_states_take(&states, &window), 99);
    assert_false(page_window_has(&window, 128));
    assert_true(page_states_is_placed(&states, 128));
    page_states_clear(&states);
}

static void a_page_that_is_being_placed_is_not_dropped(void **state)
{
    PageStates states;
    PageWindow window;

    states_init(&states, all_pages);
    page_states_claim(&states, 60, 10, &window);
    page_states_take(&states, &window);
    assert_int_equal(page_states_drop(&states, 50, 20), 10);
    assert_false(page_states_is_placed(&states, 60));
    page_states_set_placed(&states, &window);
    assert_int_equal(page_states_drop(&states, 50, 20), 0);
    page_states_clear(&states);
}

static void a_page_that_is_given_back_can_be_taken_again(void **state)
{
    PageStates states;
    PageWindow window;
    PageWindow one;

    states_init(&states, all_pages);
    page_states_claim(&states, 60, 10, &window);
    page_states_take(&states, &window);
    page_states_give_back(&states, 64);
    assert_true(page_states_is_owed(&states, 64));
    assert_false(page_states_is_owed(&states, 63));
    assert_false(page_states_is_placed(&states, 64));
    /* It stays claimed. */
    assert_int_equal(page_states_next_pending(&states, 60, 100), 70);
    page_window_set_one(&one, 64);
    assert_int_equal(page_states_take(&states, &one), 1);
    page_states_clear(&states);
}

static void
the_next_pending_page_is_looked_for_no_further_than_asked(void **state)
{
    const uint64_t bitmap[N_WORDS] = {[2] = 1 << 5};
    PageStates states;

    states_init(&states, bitmap);
    assert_int_equal(page_states_next_pending(&states, 0, 133), 133);
    assert_int_equal(page_states_next_pending(&states, 0, 134), 133);
    assert_int_equal(page_states_next_pending(&states, 130, 131), 131);
    assert_int_equal(page_states_next_pending(&states, 9, 9), 9);
    page_states_clear(&states);
}

/* ---- windows ---- */

static void a_page_that_leaves_a_window_splits_its_run(void **state)
{
    PageWindow window = {.first_word = 1, .n_words = 1, .words = {0xf0}};
    uint64_t page = 0;

    page_window_remove(&window, 69);
    assert_run(&window, &page, 68, 1);
    assert_run(&window, &page, 70, 2);
    assert_no_run(&window, page);
}

static void a_window_of_one_page_is_one_run(void **state)
{
    static const uint64_t pages[] = {0, 1, 63, 64, 127, 128, 999};

    for (size_t i = 0; i < G_N_ELEMENTS(pages); i++) {
        PageWindow window;
        uint64_t page = 0;

        page_window_set_one(&window, pages[i]);
        assert_window(&window, pages[i], 1);
        assert_bounds(&window, pages[i], 1);
        assert_run(&window, &page, pages[i], 1);
        assert_no_run(&window, page);
    }
}

static void runs_go_over_word_borders_and_end_at_holes(void **state)
{
    const PageWindow window = {
        .first_word = 3,
        .n_words = 3,
        .words = {UINT64_C(0xc000000000000001), 0x3,
                  UINT64_C(0x8000000000000000)},
    };
    uint64_t page = 0;

    assert_bounds(&window, 192, 192);
    assert_run(&window, &page, 192, 1);
    assert_run(&window, &page, 254, 4);
    assert_run(&window, &page, 383, 1);
    assert_no_run(&window, page);
}

static void a_run_asked_for_from_its_middle_begins_there(void **state)
{
    const PageWindow window = {.first_word = 1, .n_words = 1, .words = {0xf0}};
    uint64_t page = 70;

    assert_run(&window, &page, 70, 2);
    assert_no_run(&window, page);
}

static void bounds_leave_out_empty_words_at_both_ends(void **state)
{
    const PageWindow window = {
        .first_word = 2, .n_words = 4, .words = {0, 0x10, 0x1, 0}};

    assert_bounds(&window, 196, 61);
}

static void a_whole_unaligned_window_is_one_run_of_nine_words(void **state)
{
    PageStates states;
    PageWindow window;
    uint64_t page = 0;

    states_init(&states, all_pages);
    assert_int_equal(
        page_states_claim(&states, 33, PAGE_WINDOW_MAX_PAGES, &window),
        PAGE_WINDOW_MAX_PAGES);
    assert_int_equal(window.n_words, PAGE_WINDOW_MAX_WORDS);
    assert_run(&window, &page, 33, PAGE_WINDOW_MAX_PAGES);
    assert_no_run(&window, page);
    page_states_clear(&states);
}

static void pages_outside_of_a_window_are_not_in_it(void **state)
{
    const PageWindow window = {
        .first_word = 1, .n_words = 1, .words = {UINT64_MAX, UINT64_MAX}};

    assert_false(page_window_has(&window, 0));
    assert_false(page_window_has(&window, 63));
    assert_true(page_window_has(&window, 64));
    assert_true(page_window_has(&window, 127));
    assert_false(page_window_has(&window, 128));
    assert_false(page_window_has(&window, UINT64_MAX));
}

static void an_empty_window_has_no_run(void **state)
{
    const PageWindow window = {.first_word = 5, .n_words = 2};

    assert_no_run(&window, 0);
    assert_no_run(&window, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_in_the_file_are_pending_and_all_others_placed),
        cmocka_unit_test(a_block_without_pages_has_nothing_pending),
        cmocka_unit_test(cleared_states_can_be_cleared_again),
        cmocka_unit_test(the_next_pending_page_is_found_over_empty_words),
        cmocka_unit_test(what_is_pending_is_counted_in_all_and_of_a_set),
        cmocka_unit_test(a_claim_takes_exactly_its_pages_over_word_borders),
        cmocka_unit_test(
            a_claim_leaves_out_what_was_claimed_or_is_not_in_the_file),
        cmocka_unit_test(what_was_taken_by_somebody_else_leaves_the_window),
        cmocka_unit_test(taken_pages_are_neither_owed_nor_placed_until_said_so),
        cmocka_unit_test(dropped_pages_count_as_placed_exactly_those),
        cmocka_unit_test(a_dropped_page_that_was_claimed_is_placed_by_nobody),
        cmocka_unit_test(a_page_that_is_being_placed_is_not_dropped),
        cmocka_unit_test(a_page_that_is_given_back_can_be_taken_again),
        cmocka_unit_test(
            the_next_pending_page_is_looked_for_no_further_than_asked),
        cmocka_unit_test(a_page_that_leaves_a_window_splits_its_run),
        cmocka_unit_test(a_window_of_one_page_is_one_run),
        cmocka_unit_test(runs_go_over_word_borders_and_end_at_holes),
        cmocka_unit_test(a_run_asked_for_from_its_middle_begins_there),
        cmocka_unit_test(bounds_leave_out_empty_words_at_both_ends),
        cmocka_unit_test(a_whole_unaligned_window_is_one_run_of_nine_words),
        cmocka_unit_test(pages_outside_of_a_window_are_not_in_it),
        cmocka_unit_test(an_empty_window_has_no_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
