/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The list of pages that cannot be had.  Time is what the tests say it is.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include "plugin/pager/parked.h"

#define FOREVER (UINT64_C(1) << 40)

static ParkedPage page_at(size_t block, uint64_t page)
{
    return (ParkedPage){.block = block,
                        .page = page,
                        .why = PLACED_BY_REST,
                        .what = "reading",
                        .error = EIO};
}

static void add(Parked *parked, uint64_t page, uint64_t now_us)
{
    const ParkedPage added = page_at(0, page);

    parked_add(parked, &added, false, now_us);
}

/* Somebody has touched the page in vain. */
static void add_waited_for(Parked *parked, uint64_t page, uint64_t now_us)
{
    ParkedPage added = page_at(0, page);

    added.waited_for = true;
    parked_add(parked, &added, false, now_us);
}

/* The next page is due at that time exactly, is tried then, and fails. */
static void fail_at(Parked *parked, uint64_t page, uint64_t now_us)
{
    ParkedPage due;

    assert_int_equal(parked_due_us(parked), now_us);
    assert_false(parked_next_due(parked, now_us - 1, &due));
    assert_true(parked_next_due(parked, now_us, &due));
    assert_int_equal(due.page, page);
    parked_add(parked, &due, true, now_us);
}

/* All tries of what is due fail, until nothing is. */
static void fail_for_good(Parked *parked)
{
    ParkedPage due;

    while (parked_next_due(parked, FOREVER, &due)) {
        parked_add(parked, &due, true, FOREVER - 1000000);
    }
}

static void assert_no_report(Parked *parked)
{
    ParkedPage page;

    assert_false(parked_next_report(parked, &page));
}

static void assert_report(Parked *parked, uint64_t page, bool waited_for)
{
    ParkedPage report;

    assert_true(parked_next_report(parked, &report));
    assert_int_equal(report.page, page);
    assert_int_equal(report.waited_for, waited_for);
}

static void a_page_is_tried_five_times_after_growing_pauses(void **state)
{
    Parked *parked = parked_new();

    add(parked, 7, 1000);
    fail_at(parked, 7, 11000);
    fail_at(parked, 7, 31000);
    fail_at(parked, 7, 71000);
    fail_at(parked, 7, 151000);
    assert_int_equal(parked_n_failed(parked), 0);
    assert_no_report(parked);
    fail_at(parked, 7, 311000);
    assert_int_equal(parked_due_us(parked), UINT64_MAX);
    assert_int_equal(parked_n_failed(parked), 1);
    assert_int_equal(parked_count(parked), 1);
    assert_report(parked, 7, false);
    assert_no_report(parked);
    parked_free(parked);
}

static void the_page_that_is_due_first_comes_first(void **state)
{
    Parked *parked = parked_new();

    add(parked, 1, 0);
    add(parked, 2, 5000);
    fail_at(parked, 1, 10000); /* next after 20 ms */
    add(parked, 3, 12000);
    fail_at(parked, 2, 15000);
    fail_at(parked, 3, 22000);
    fail_at(parked, 1, 30000);
    parked_free(parked);
}

static void a_page_that_is_in_place_is_gone(void **state)
{
    Parked *parked = parked_new();
    ParkedPage due;

    add(parked, 1, 0);
    add(parked, 2, 0);
    assert_true(parked_remove(parked, 0, 1));
    assert_false(parked_remove(parked, 0, 1));
    assert_true(parked_next_due(parked, FOREVER, &due));
    assert_int_equal(due.page, 2);
    assert_true(parked_remove(parked, 0, 2));
    assert_int_equal(parked_count(parked), 0);
    assert_int_equal(parked_due_us(parked), UINT64_MAX);
    parked_free(parked);
}

static void only_the_first_of_many_failures_is_told(void **state)
{
    Parked *parked = parked_new();

    for (uint64_t page = 0; page < 1000; page++) {
        add(parked, page, 0);
    }
    fail_for_good(parked);
    assert_int_equal(parked_n_failed(parked), 1000);
    assert_report(parked, 0, false);
    assert_no_report(parked);
    parked_free(parked);
}

static void each_page_that_is_waited_for_is_told_once(void **state)
{
    Parked *parked = parked_new();

    add(parked, 1, 0);
    add(parked, 2, 0);
    add_waited_for(parked, 3, 0);
    fail_for_good(parked);
    assert_report(parked, 1, false);
    assert_report(parked, 3, true);
    assert_no_report(parked);
    add_waited_for(parked, 2, 0);
    add_waited_for(parked, 2, 0);
    add_waited_for(parked, 3, 0);
    assert_report(parked, 2, true);
    assert_no_report(parked);
    assert_int_equal(parked_n_waited_for(parked), 2);
    parked_free(parked);
}

static void a_touch_in_between_changes_no_tries(void **state)
{
    Parked *parked = parked_new();
    ParkedPage due;

    add(parked, 1, 0);
    add_waited_for(parked, 1, 500);
    assert_int_equal(parked_due_us(parked), 10000);
    /* Nor does one while it is being tried. */
    assert_true(parked_next_due(parked, 10000, &due));
    assert_true(due.waited_for);
    add_waited_for(parked, 1, 10500);
    assert_int_equal(parked_due_us(parked), UINT64_MAX);
    parked_add(parked, &due, true, 11000);
    assert_int_equal(parked_due_us(parked), 31000);
    parked_free(parked);
}

static void a_retry_tries_at_once_and_is_told_again(void **state)
{
    Parked *parked = parked_new();

    add_waited_for(parked, 1, 0);
    fail_for_good(parked);
    assert_report(parked, 1, true);
    parked_retry(parked);
    assert_int_equal(parked_n_failed(parked), 1);
    assert_int_equal(parked_due_us(parked), 0);
    fail_for_good(parked);
    assert_report(parked, 1, true);
    assert_no_report(parked);
    assert_int_equal(parked_n_failed(parked), 1);
    assert_int_equal(parked_n_waited_for(parked), 1);
    parked_free(parked);
}

static void a_page_that_could_not_be_tried_is_tried_again(void **state)
{
    Parked *parked = parked_new();
    ParkedPage due;

    add(parked, 1, 0);
    assert_true(parked_next_due(parked, 10000, &due));
    parked_put_back(parked, 0, 1, 10000);
    assert_int_equal(parked_due_us(parked), 30000);
    /* Where it has found its way by itself, that stays. */
    parked_put_back(parked, 0, 1, 20000);
    assert_int_equal(parked_due_us(parked), 30000);
    parked_put_back(parked, 0, 99, 20000);
    assert_int_equal(parked_count(parked), 1);
    parked_free(parked);
}

static void pages_of_one_block_go_together(void **state)
{
    Parked *parked = parked_new();
    const ParkedPage other = page_at(1, 5);

    add(parked, 4, 0);
    add_waited_for(parked, 5, 0);
    parked_add(parked, &other, false, 0);
    fail_for_good(parked);
    parked_remove_block(parked, 0);
    assert_int_equal(parked_count(parked), 1);
    assert_int_equal(parked_n_failed(parked), 1);
    assert_int_equal(parked_n_waited_for(parked), 0);
    assert_true(parked_remove(parked, 1, 5));
    parked_free(parked);
}

static bool is_even(void *opaque, uint64_t page)
{
    return page % 2 == 0;
}

static void only_pages_that_are_gone_are_removed(void **state)
{
    for (uint64_t n_pages = 6; n_pages < 1000; n_pages *= 10) {
        Parked *parked = parked_new();
        ParkedPage zero = page_at(0, 6);
        const ParkedPage other = page_at(1, 4);

        zero.is_zero = true;
        parked_add(parked, &zero, false, 0);
        parked_add(parked, &other, false, 0);
        for (uint64_t page = 2; page < 6; page++) {
            add(parked, page, 0);
        }
        assert_true(parked_remove_if(parked, 0, 3, n_pages, is_even, NULL));
        assert_false(parked_remove_if(parked, 0, 3, n_pages, is_even, NULL));
        assert_int_equal(parked_count(parked), 5);
        assert_true(parked_remove(parked, 0, 2));
        assert_true(parked_remove(parked, 0, 3));
        assert_false(parked_remove(parked, 0, 4));
        assert_true(parked_remove(parked, 0, 5));
        assert_true(parked_remove(parked, 0, 6));
        assert_true(parked_remove(parked, 1, 4));
        parked_free(parked);
    }
}

/* It was placed, given back and touched before it was taken off the list. */
static void a_page_that_is_to_be_zeroes_in_the_end_stays(void **state)
{
    Parked *parked = parked_new();
    ParkedPage due;

    add(parked, 8, 0);
    assert_true(parked_next_due(parked, FOREVER, &due));
    assert_false(parked_is_zero(parked, 0, 8));
    due.is_zero = true;
    parked_add(parked, &due, false, 0);
    assert_true(parked_is_zero(parked, 0, 8));
    assert_false(parked_remove_if(parked, 0, 0, 100, is_even, NULL));
    parked_put_back(parked, 0, 8, 0);
    assert_true(parked_next_due(parked, FOREVER, &due));
    assert_true(due.is_zero);
    parked_free(parked);
}

static void pages_are_counted_by_what_they_are_placed_as(void **state)
{
    Parked *parked = parked_new();
    ParkedPage hot = page_at(0, 1);

    hot.why = PLACED_BY_ORDER;
    parked_add(parked, &hot, false, 0);
    add(parked, 2, 0);
    assert_int_equal(parked_n_of(parked, PLACED_BY_ORDER), 1);
    assert_int_equal(parked_n_of(parked, PLACED_BY_REST), 1);
    /* Whoever fails at it later does not change that. */
    hot.why = PLACED_BY_FAULT;
    parked_add(parked, &hot, false, 0);
    assert_int_equal(parked_n_of(parked, PLACED_BY_ORDER), 1);
    parked_remove(parked, 0, 1);
    assert_int_equal(parked_n_of(parked, PLACED_BY_ORDER), 0);
    assert_int_equal(parked_n_of(parked, PLACED_BY_FAULT), 0);
    parked_free(parked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_tried_five_times_after_growing_pauses),
        cmocka_unit_test(the_page_that_is_due_first_comes_first),
        cmocka_unit_test(a_page_that_is_in_place_is_gone),
        cmocka_unit_test(only_the_first_of_many_failures_is_told),
        cmocka_unit_test(each_page_that_is_waited_for_is_told_once),
        cmocka_unit_test(a_touch_in_between_changes_no_tries),
        cmocka_unit_test(a_retry_tries_at_once_and_is_told_again),
        cmocka_unit_test(a_page_that_could_not_be_tried_is_tried_again),
        cmocka_unit_test(pages_of_one_block_go_together),
        cmocka_unit_test(only_pages_that_are_gone_are_removed),
        cmocka_unit_test(a_page_that_is_to_be_zeroes_in_the_end_stays),
        cmocka_unit_test(pages_are_counted_by_what_they_are_placed_as),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
