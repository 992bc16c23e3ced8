/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Orders that have most of what is in some huge pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/pager/pager-world.h"

/* The huge pages of block 0 that an order may have most of: it begins a little
 * behind the first page of the first, and ends as much behind the last. */
#define FIRST_HUGE 1
#define N_HUGE     4

#define FIRST_PAGE (FIRST_HUGE * WORLD_HUGE_PAGES + 80)
#define END_PAGE   (FIRST_PAGE + N_HUGE * WORLD_HUGE_PAGES)

/* Huge pages, moved wholly. */
static _Atomic unsigned n_moved;

int __real_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);
int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);

int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done)
{
    int rc = __real_uffd_move(fd, dst, src, len, skip_holes, ret_done);

    atomic_fetch_add(&n_moved, rc == 0 && *ret_done == WORLD_HUGE_BYTES);
    return rc;
}

/* Every page is in the file; the rest is not loaded. */
static World *dense_world(void)
{
    World *world = world_new(RAM_ANONYMOUS, 8);

    atomic_store(&n_moved, 0);
    world->huge = HUGE_PLACING_ALWAYS;
    world->rest = LOAD_REST_DEMAND;
    fake_source_let_warm(world->source);
    return world;
}

static bool is_in_order(uint64_t page, uint64_t of_8)
{
    return page % 8 < of_8;
}

/* Of each 8 pages the first of_8, from the last to the first. */
static PageOrder *order_of(const World *world, uint64_t of_8)
{
    PageOrder *order = world_order(world, 0, 0, 0);

    for (uint64_t page = END_PAGE; page-- > FIRST_PAGE;) {
        const PageExtent extent = {
            .span = {0, page, 1},
            .time_us = (END_PAGE - page) * 10,
        };

        if (is_in_order(page, of_8)) {
            page_order_append(order, &extent);
        }
    }
    return order;
}

static void start(World *world, uint64_t of_8)
{
    g_autoptr(PageOrder) order = order_of(world, of_8);

    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
}

/* Nobody waits for a page of the order any more. */
static void assert_order_is_in(World *world, uint64_t of_8)
{
    json_int_t n_faults;

    world_await(world, LOAD_GOAL_HOT);
    n_faults = world_stat(world, NULL, "demand-faults");
    for (uint64_t page = FIRST_PAGE; page < END_PAGE; page++) {
        if (is_in_order(page, of_8)) {
            assert_true(world_page_is_right(world, 0, page));
        }
    }
    assert_int_equal(world_stat(world, NULL, "demand-faults"), n_faults);
}

static void assert_rest_is_right(World *world)
{
    pager_load_rest(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
}

static void what_an_order_has_most_of_is_loaded_in_huge_pages(void **state)
{
    World *world = dense_world();

    (void)state;
    start(world, 5);
    assert_order_is_in(world, 5);
    assert_int_equal(atomic_load(&n_moved), N_HUGE);
    /* All of these, and behind them the order with what lies between. */
    assert_int_equal(world_n_placed(world), N_HUGE * WORLD_HUGE_PAGES + 80 - 3);
    assert_rest_is_right(world);
    world_free(world);
}

static void what_an_order_has_half_of_is_not(void **state)
{
    World *world = dense_world();

    (void)state;
    start(world, 4);
    assert_order_is_in(world, 4);
    assert_int_equal(atomic_load(&n_moved), 0);
    assert_rest_is_right(world);
    world_free(world);
}

static void one_huge_page_does_not_make_an_order_dense(void **state)
{
    World *world = dense_world();
    g_autoptr(PageOrder) order = order_of(world, 2);
    const PageExtent most_of_one = {
        .span = {0, FIRST_PAGE, WORLD_HUGE_PAGES / 2 + 1},
        .time_us = UINT64_C(100000),
    };

    (void)state;
    page_order_append(order, &most_of_one);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    assert_order_is_in(world, 2);
    assert_int_equal(atomic_load(&n_moved), 0);
    assert_rest_is_right(world);
    world_free(world);
}

/* Its other pages come in large pieces, and none is left out. */
static void a_huge_page_that_the_guest_was_at_is_copied(void **state)
{
    World *world = dense_world();
    g_autoptr(PageOrder) order = order_of(world, 6);

    (void)state;
    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    assert_true(world_page_is_right(world, 0, FIRST_PAGE + 3));
    fake_source_open(world->source);
    assert_order_is_in(world, 6);
    assert_int_equal(atomic_load(&n_moved), N_HUGE - 1);
    assert_rest_is_right(world);
    world_free(world);
}

/* The order has all of one huge page, but first its end, with what follows. */
static void what_goes_beyond_a_huge_page_is_loaded_too(void **state)
{
    const uint64_t first_page = WORLD_HUGE_PAGES - 50;
    World *world = dense_world();
    g_autoptr(PageOrder) order = world_order(world, 0, 0, 0);
    const PageExtent across = {.span = {0, first_page, 100}};
    const PageExtent before = {
        .span = {0, 0, first_page},
        .time_us = UINT64_C(1000000),
    };

    (void)state;
    page_order_append(order, &across);
    page_order_append(order, &before);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    world_await(world, LOAD_GOAL_HOT);
    assert_int_equal(atomic_load(&n_moved), 1);
    assert_int_equal(world_n_placed(world), first_page + 100);
    assert_rest_is_right(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_order_has_most_of_is_loaded_in_huge_pages),
        cmocka_unit_test(what_an_order_has_half_of_is_not),
        cmocka_unit_test(one_huge_page_does_not_make_an_order_dense),
        cmocka_unit_test(a_huge_page_that_the_guest_was_at_is_copied),
        cmocka_unit_test(what_goes_beyond_a_huge_page_is_loaded_too),
    };

    return world_can_move_huge() ? cmocka_run_group_tests(tests, NULL, NULL)
                                 : 77;
}
