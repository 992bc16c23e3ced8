/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where an order has most of a huge page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin/pager/order-density.h"

#define N_WORDS    4
#define HUGE_PAGES 128 /* of two words */
#define HALF       UINT64_C(0xffffffff)

static void it_is_high_where_more_than_half_of_the_file_is_in_it(void **state)
{
    const uint64_t in_file[N_WORDS] = {HALF, HALF, HALF, HALF};
    const uint64_t in_order[N_WORDS] = {HALF, 0, HALF, 1};

    (void)state;
    assert_false(order_density_is_high(in_order, in_file, 0, HUGE_PAGES));
    assert_true(
        order_density_is_high(in_order, in_file, HUGE_PAGES, HUGE_PAGES));
}

static void what_is_not_in_the_file_does_not_count(void **state)
{
    const uint64_t in_file[N_WORDS] = {HALF, HALF, 0, 0};
    const uint64_t in_order[N_WORDS] = {~HALF, ~HALF, ~HALF, ~HALF};

    (void)state;
    assert_false(order_density_is_high(in_order, in_file, 0, HUGE_PAGES));
    assert_false(
        order_density_is_high(in_order, in_file, HUGE_PAGES, HUGE_PAGES));
}

static void an_order_is_dense_if_most_of_its_pages_are_where_it_is(void **state)
{
    const uint64_t in_file[N_WORDS] = {HALF, HALF, HALF, HALF};
    const uint64_t most[N_WORDS] = {HALF, 1, HALF, 0};
    const uint64_t few[N_WORDS] = {HALF, 1, HALF, 0};
    const uint64_t none[N_WORDS] = {0};
    OrderDensity density = {0};

    (void)state;
    order_density_add(&density, none, in_file, N_WORDS * 64, HUGE_PAGES);
    assert_false(order_density_most_is_dense(&density));
    /* 33 of 65. */
    order_density_add(&density, most, in_file, N_WORDS * 64, HUGE_PAGES);
    assert_int_equal(density.n_pages, 65);
    assert_int_equal(density.n_dense, 33);
    assert_true(order_density_most_is_dense(&density));
    /* 33 of 97. */
    order_density_add(&density, few + 2, in_file, HUGE_PAGES, HUGE_PAGES);
    assert_int_equal(density.n_pages, 97);
    assert_int_equal(density.n_dense, 33);
    assert_false(order_density_most_is_dense(&density));
}

/* The last huge page of a block may not be a whole one; and pages may be so
 * large that a huge page has less of them than a word has bits. */
static void what_is_no_whole_huge_page_is_left_out(void **state)
{
    const uint64_t in_file[N_WORDS] = {HALF, HALF, HALF, HALF};
    OrderDensity density = {0};

    (void)state;
    order_density_add(&density, in_file, in_file, HUGE_PAGES + 64, HUGE_PAGES);
    assert_int_equal(density.n_pages, 64);
    order_density_add(&density, in_file, in_file, 100, 32);
    assert_int_equal(density.n_pages, 64 + 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_high_where_more_than_half_of_the_file_is_in_it),
        cmocka_unit_test(what_is_not_in_the_file_does_not_count),
        cmocka_unit_test(
            an_order_is_dense_if_most_of_its_pages_are_where_it_is),
        cmocka_unit_test(what_is_no_whole_huge_page_is_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
