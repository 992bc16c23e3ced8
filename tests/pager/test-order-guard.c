/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether an order is gone on with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin/pager/order-guard.h"

/* A guest of 312 MiB, and what its order has of it. */
#define ALL_PAGES   80000
#define ORDER_PAGES 20000

#define LOOK_AT 64 /* misses */

/* A moment of a load: all counts since the guest runs. */
typedef struct Moment {
    uint64_t ms;
    uint64_t n_misses;
    uint64_t n_late;
    uint64_t by_order; /* pages that the order has brought, the late as well */
    uint64_t by_rest;  /* … and the rest: none of the order's */
} Moment;

static OrderGuardView view_of(const Moment *moment, uint64_t order_pages)
{
    return (OrderGuardView){
        .now_us = (1000 + moment->ms) * 1000,
        /* Some before the guest runs, which tell nothing. */
        .n_misses = 500 + moment->n_misses,
        .n_late = 500 + moment->n_late,
        .order_pages = order_pages - moment->by_order,
        .all_pages =
            ALL_PAGES - moment->by_order - moment->by_rest - moment->n_misses,
    };
}

static bool is_due(const OrderGuard *guard, const Moment *moment)
{
    return order_guard_is_due(guard, (1000 + moment->ms) * 1000,
                              500 + moment->n_misses);
}

/* Of an order with so many pages. */
static void look_of(OrderGuard *guard, uint64_t order_pages, Moment moment)
{
    const OrderGuardView view = view_of(&moment, order_pages);

    assert_true(is_due(guard, &moment));
    order_guard_look(guard, &view, true);
}

static void look(OrderGuard *guard, Moment moment)
{
    look_of(guard, ORDER_PAGES, moment);
}

/* The guest begins to run. */
static OrderGuard begun(void)
{
    OrderGuard guard = {0};

    look(&guard, (Moment){0});
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
    return guard;
}

/* The trial of the rest, from this moment on: so long, so many pages. */
static void try_rest_of(OrderGuard *guard, uint64_t order_pages, Moment moment,
                        uint64_t ms, uint64_t by_rest)
{
    assert_int_equal(guard->state, ORDER_GUARD_TO_TRY);
    look_of(guard, order_pages, moment);
    assert_int_equal(guard->state, ORDER_GUARD_TRYING);
    assert_false(is_due(guard, &moment));
    order_guard_note_claimed(guard, 100000);
    moment.ms += ms;
    moment.by_rest += by_rest;
    look_of(guard, order_pages, moment);
}

static void try_rest(OrderGuard *guard, Moment moment, uint64_t ms,
                     uint64_t by_rest)
{
    try_rest_of(guard, ORDER_PAGES, moment, ms, by_rest);
}

/* It brought 1000 pages in 20 ms, and missed many: so doubted. */
static const Moment doubted = {.ms = 20, .n_misses = 100, .by_order = 1000};

static OrderGuard doubted_guard(const Moment *moment)
{
    OrderGuard guard = begun();

    look(&guard, *moment);
    assert_int_equal(guard.state, ORDER_GUARD_TO_TRY);
    return guard;
}

static void some_misses_are_no_reason_to_look(void **state)
{
    OrderGuard guard = begun();

    (void)state;
    assert_false(is_due(&guard, &(Moment){100, .n_misses = LOOK_AT - 1}));
    assert_true(is_due(&guard, &(Moment){100, .n_misses = LOOK_AT}));
}

static void an_order_that_fits_is_not_doubted(void **state)
{
    OrderGuard guard = begun();

    (void)state;
    look(&guard, (Moment){100, .n_misses = LOOK_AT, .by_order = 2000});
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
    look(&guard, (Moment){300, .n_misses = 200, .by_order = 6600});
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
    assert_false(is_due(&guard, &(Moment){400, .n_misses = 399}));
    assert_true(is_due(&guard, &(Moment){400, .n_misses = 400}));
}

/* Nearly as long as everything, it has most of what is touched by chance. */
static void an_order_of_most_pages_is_doubted_after_fewer_misses(void **state)
{
    OrderGuard guard = {0};

    (void)state;
    look_of(&guard, 66000, (Moment){0});
    look_of(&guard, 66000, (Moment){20, .n_misses = LOOK_AT, .by_order = 2000});
    assert_int_equal(guard.state, ORDER_GUARD_TO_TRY);
}

static void an_order_that_is_nearly_in_is_not_doubted(void **state)
{
    OrderGuard guard = begun();

    (void)state;
    look(&guard, (Moment){100, .n_misses = 10000, .by_order = 19000});
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
}

static void a_trial_lasts_a_while_or_for_many_pages(void **state)
{
    OrderGuard guard = doubted_guard(&doubted);
    Moment moment = doubted;

    (void)state;
    look(&guard, moment);
    moment.ms += 29;
    assert_false(is_due(&guard, &moment));
    order_guard_note_claimed(&guard, 8000);
    assert_false(is_due(&guard, &moment));
    order_guard_note_claimed(&guard, 192);
    assert_true(is_due(&guard, &moment));
    look(&guard, moment);

    guard = doubted_guard(&doubted);
    look(&guard, doubted);
    moment.ms += 1;
    assert_true(is_due(&guard, &moment));
}

/* 19,000 pages at 50 a ms, or 78,900 at 250: 380 ms against 316. */
static void an_order_that_takes_as_long_as_everything_is_abandoned(void **state)
{
    OrderGuard guard = doubted_guard(&doubted);

    (void)state;
    try_rest(&guard, doubted, 20, 5000);
    assert_int_equal(guard.state, ORDER_GUARD_ABANDONED);
    assert_false(is_due(&guard, &(Moment){5000, .n_misses = 70000}));
}

/* 380 ms against 730. */
static void an_order_that_takes_half_as_long_is_abandoned(void **state)
{
    OrderGuard guard = doubted_guard(&doubted);

    (void)state;
    try_rest(&guard, doubted, 20, 2100);
    assert_int_equal(guard.state, ORDER_GUARD_ABANDONED);
}

/* A fifth of what the guest touches is not in it, but on storage that takes a
 * millisecond for a read, it is in long before everything else would be. */
static void an_order_that_is_well_shorter_is_kept(void **state)
{
    const Moment moment = {.ms = 80, .n_misses = 100, .by_order = 1000};
    OrderGuard guard = doubted_guard(&moment);

    (void)state;
    /* 19,000 pages at 12 a ms: 1.6 s; 76,000 at 20: 3.9 s. */
    try_rest(&guard, moment, 30, 600);
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
}

static void a_second_doubt_needs_no_second_trial(void **state)
{
    const Moment moment = {.ms = 80, .n_misses = 100, .by_order = 1000};
    OrderGuard guard = doubted_guard(&moment);

    (void)state;
    try_rest(&guard, moment, 30, 600);
    assert_false(is_due(&guard, &(Moment){200, .n_misses = 199}));
    /* As good as before. */
    look(&guard,
         (Moment){210, .n_misses = 200, .by_order = 2200, .by_rest = 600});
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
    /* No more comes of it. */
    look(&guard,
         (Moment){900, .n_misses = 400, .by_order = 2300, .by_rest = 600});
    assert_int_equal(guard.state, ORDER_GUARD_ABANDONED);
}

/* 380 ms against 600, as the next. */
static void an_order_that_is_right_may_take_longer(void **state)
{
    Moment moment = doubted;

    (void)state;
    moment.n_late = 500;
    OrderGuard guard = doubted_guard(&moment);
    try_rest(&guard, moment, 20, 2500);
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
}

/* 380 ms against 1950. */
static void an_order_may_take_a_fifth_unless_it_is_as_by_lot(void **state)
{
    static const struct {
        uint64_t n_late; /* by lot: 32 */
        OrderGuardState then;
    } cases[] = {
        {0, ORDER_GUARD_WATCHING},   {10, ORDER_GUARD_WATCHING},
        {20, ORDER_GUARD_ABANDONED}, {32, ORDER_GUARD_ABANDONED},
        {60, ORDER_GUARD_ABANDONED}, {80, ORDER_GUARD_WATCHING},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Moment moment = doubted;

        moment.n_late = cases[i].n_late;
        OrderGuard guard = doubted_guard(&moment);
        try_rest(&guard, moment, 20, 800);
        assert_int_equal(guard.state, cases[i].then);
    }
}

/* 380 ms against 5200. */
static void even_an_order_by_lot_may_take_a_tenth(void **state)
{
    Moment moment = doubted;

    (void)state;
    moment.n_late = 32;
    OrderGuard guard = doubted_guard(&moment);
    try_rest(&guard, moment, 20, 300);
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
}

/* 80 ms against 400; 5 by lot. */
static void where_lot_has_few_it_says_nothing(void **state)
{
    Moment moment = doubted;
    OrderGuard guard = {0};

    (void)state;
    moment.n_late = 5;
    look_of(&guard, 5000, (Moment){0});
    look_of(&guard, 5000, moment);
    try_rest_of(&guard, 5000, moment, 20, 3900);
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
}

/* It brings much, but nothing that the guest would have come to sooner. */
static void an_order_as_by_lot_is_doubted_whatever_it_brings(void **state)
{
    OrderGuard guard = begun();

    (void)state;
    look(&guard, (Moment){100, .n_misses = 80, .n_late = 20, .by_order = 5000});
    assert_int_equal(guard.state, ORDER_GUARD_TO_TRY);
}

static void not_even_a_right_order_may_take_longer_than_everything(void **state)
{
    Moment moment = doubted;

    (void)state;
    moment.n_late = 500;
    OrderGuard guard = doubted_guard(&moment);
    try_rest(&guard, moment, 20, 5000);
    assert_int_equal(guard.state, ORDER_GUARD_ABANDONED);
}

static void a_trial_that_brings_nothing_is_no_reason_to_abandon(void **state)
{
    const Moment moment = {.ms = 20, .n_misses = 100};
    OrderGuard guard = doubted_guard(&moment);

    (void)state;
    try_rest(&guard, moment, 30, 0);
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
}

static void an_order_that_brings_nothing_is_abandoned(void **state)
{
    const Moment moment = {.ms = 20, .n_misses = 100};
    OrderGuard guard = doubted_guard(&moment);

    (void)state;
    try_rest(&guard, moment, 30, 5);
    assert_int_equal(guard.state, ORDER_GUARD_ABANDONED);
}

static void
where_the_rest_may_not_be_read_an_order_lacks_half_to_be_abandoned(void **state)
{
    const Moment half = {.ms = 20, .n_misses = 999, .by_order = 1000};
    const Moment more = {.ms = 60, .n_misses = 1998, .by_order = 1998};
    const OrderGuardView views[] = {view_of(&half, ORDER_PAGES),
                                    view_of(&more, ORDER_PAGES)};
    OrderGuard guard = begun();

    (void)state;
    order_guard_look(&guard, &views[0], false);
    assert_int_equal(guard.state, ORDER_GUARD_WATCHING);
    assert_true(is_due(&guard, &more));
    order_guard_look(&guard, &views[1], false);
    assert_int_equal(guard.state, ORDER_GUARD_ABANDONED);
}

static void the_rest_is_wanted_after_many_misses_since_it_began(void **state)
{
    OrderGuard guard = begun();

    (void)state;
    order_guard_begin_rest(&guard, 10000);
    assert_false(order_guard_rest_is_wanted(&guard, 10000));
    assert_false(order_guard_rest_is_wanted(&guard, 10255));
    assert_true(order_guard_rest_is_wanted(&guard, 10256));
}

static void the_rest_is_wanted_at_once_after_a_useless_order(void **state)
{
    OrderGuard guard = {.state = ORDER_GUARD_ABANDONED};

    (void)state;
    order_guard_begin_rest(&guard, 10000);
    assert_true(order_guard_rest_is_wanted(&guard, 10000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_misses_are_no_reason_to_look),
        cmocka_unit_test(an_order_that_fits_is_not_doubted),
        cmocka_unit_test(an_order_of_most_pages_is_doubted_after_fewer_misses),
        cmocka_unit_test(an_order_that_is_nearly_in_is_not_doubted),
        cmocka_unit_test(a_trial_lasts_a_while_or_for_many_pages),
        cmocka_unit_test(
            an_order_that_takes_as_long_as_everything_is_abandoned),
        cmocka_unit_test(an_order_that_takes_half_as_long_is_abandoned),
        cmocka_unit_test(an_order_that_is_well_shorter_is_kept),
        cmocka_unit_test(a_second_doubt_needs_no_second_trial),
        cmocka_unit_test(an_order_that_is_right_may_take_longer),
        cmocka_unit_test(an_order_may_take_a_fifth_unless_it_is_as_by_lot),
        cmocka_unit_test(even_an_order_by_lot_may_take_a_tenth),
        cmocka_unit_test(where_lot_has_few_it_says_nothing),
        cmocka_unit_test(an_order_as_by_lot_is_doubted_whatever_it_brings),
        cmocka_unit_test(
            not_even_a_right_order_may_take_longer_than_everything),
        cmocka_unit_test(a_trial_that_brings_nothing_is_no_reason_to_abandon),
        cmocka_unit_test(an_order_that_brings_nothing_is_abandoned),
        cmocka_unit_test(the_rest_is_wanted_after_many_misses_since_it_began),
        cmocka_unit_test(the_rest_is_wanted_at_once_after_a_useless_order),
        cmocka_unit_test(
            where_the_rest_may_not_be_read_an_order_lacks_half_to_be_abandoned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
