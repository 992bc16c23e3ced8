/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How much is read at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profiler/orders/read-ahead.h"

#define BUSY      READ_AHEAD_BUSY_PIECE_BYTES
#define MAX_BYTES READ_AHEAD_PIECE_BYTES

static uint64_t bytes_after(uint64_t n_faults)
{
    return read_ahead_busy_bytes(BUSY, MAX_BYTES, n_faults);
}

static void the_first_faults_wait_for_small_pieces_only(void **state)
{
    (void)state;
    assert_int_equal(bytes_after(0), BUSY);
    assert_int_equal(bytes_after(READ_AHEAD_BUSY_FAULTS - 1), BUSY);
}

static void pieces_grow_with_the_faults_up_to_the_large_ones(void **state)
{
    (void)state;
    assert_int_equal(bytes_after(READ_AHEAD_BUSY_FAULTS), 2 * BUSY);
    assert_int_equal(bytes_after(2 * READ_AHEAD_BUSY_FAULTS), 4 * BUSY);
    assert_int_equal(bytes_after(100 * READ_AHEAD_BUSY_FAULTS), MAX_BYTES);
    assert_int_equal(bytes_after(UINT64_MAX), MAX_BYTES);
}

static void pieces_that_are_large_already_stay_so(void **state)
{
    (void)state;
    assert_int_equal(read_ahead_busy_bytes(MAX_BYTES, MAX_BYTES, UINT64_MAX),
                     MAX_BYTES);
    assert_int_equal(read_ahead_busy_bytes(MAX_BYTES, BUSY, UINT64_MAX),
                     MAX_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_faults_wait_for_small_pieces_only),
        cmocka_unit_test(pieces_grow_with_the_faults_up_to_the_large_ones),
        cmocka_unit_test(pieces_that_are_large_already_stay_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
