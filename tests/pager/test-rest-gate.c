/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When the rest may be loaded, by what the vCPUs use of the processors.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin/pager/rest-gate.h"

#define WINDOW_US 4000 /* at least what a gate looks at as one */
#define HOUR_US   (UINT64_C(3600) * 1000 * 1000)

/* What a vCPU's clock says; the linker's --wrap puts it in place of the
 * kernel's. */
static struct {
    bool is_real;
    bool has_gone;
    uint64_t used_us;
} vcpu;

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (vcpu.is_real) {
        return __real_clock_gettime(clock, time);
    }
    if (vcpu.has_gone) {
        errno = EINVAL;
        return -1;
    }
    time->tv_sec = (time_t)(vcpu.used_us / 1000000);
    time->tv_nsec = (long)(vcpu.used_us % 1000000) * 1000;
    return 0;
}

static RestGate *gate_of(size_t n_vcpus, unsigned n_processors,
                         uint64_t patience_us)
{
    static const uint32_t thread_ids[] = {11, 12, 13, 14};

    RestGate *gate =
        rest_gate_new(thread_ids, n_vcpus, n_processors, patience_us, 0);

    rest_gate_release(gate);
    return gate;
}

/* Whether the gate is open after a window in which each vCPU has used so many
 * hundredths of a processor. */
static bool is_open_after(RestGate *gate, uint64_t *now_us, unsigned use)
{
    uint64_t again_us = 0;

    (void)rest_gate_is_open(gate, *now_us, &again_us);
    *now_us += WINDOW_US;
    vcpu.used_us += WINDOW_US * use / 100;
    return rest_gate_is_open(gate, *now_us, &again_us);
}

static int set_up(void **state)
{
    (void)state;
    vcpu.is_real = false;
    vcpu.has_gone = false;
    vcpu.used_us = 1000000;
    return 0;
}

static void it_is_closed_until_it_has_seen_the_guest(void **state)
{
    RestGate *gate = gate_of(1, 2, HOUR_US);
    uint64_t again_us = 0;

    (void)state;
    assert_false(rest_gate_is_open(gate, 100, &again_us));
    assert_true(again_us > 100 && again_us <= 100 + WINDOW_US);
    assert_true(rest_gate_is_open(gate, again_us, &again_us));
    rest_gate_free(gate);
}

static void it_is_shut_until_the_guest_runs_but_not_for_ever(void **state)
{
    RestGate *gate = rest_gate_new(NULL, 0, 2, 5 * WINDOW_US, 0);
    uint64_t now_us = 1;

    (void)state;
    assert_false(is_open_after(gate, &now_us, 0));
    rest_gate_release(gate);
    assert_true(is_open_after(gate, &now_us, 0));
    rest_gate_free(gate);

    gate = rest_gate_new(NULL, 0, 2, 2 * WINDOW_US, 0);
    assert_false(is_open_after(gate, &now_us, 0));
    assert_true(is_open_after(gate, &now_us, 0));
    rest_gate_free(gate);
}

static void
a_guest_that_computes_closes_it_and_one_that_rests_opens_it(void **state)
{
    RestGate *gate = gate_of(1, 2, HOUR_US);
    uint64_t now_us = 1;

    (void)state;
    assert_false(is_open_after(gate, &now_us, 100));
    assert_true(is_open_after(gate, &now_us, 0));
    assert_true(is_open_after(gate, &now_us, 40));
    assert_false(is_open_after(gate, &now_us, 90));
    rest_gate_free(gate);
}

static void processors_that_the_guest_leaves_free_open_it(void **state)
{
    RestGate *few = gate_of(4, 5, HOUR_US);
    RestGate *many = gate_of(4, 6, HOUR_US);
    uint64_t now_us = 1;

    (void)state;
    assert_false(is_open_after(few, &now_us, 100));
    assert_true(is_open_after(many, &now_us, 100));
    rest_gate_free(few);
    rest_gate_free(many);
}

static void a_single_processor_is_enough_for_a_guest_that_rests(void **state)
{
    RestGate *gate = gate_of(1, 1, HOUR_US);
    uint64_t now_us = 1;

    (void)state;
    assert_false(is_open_after(gate, &now_us, 50));
    assert_true(is_open_after(gate, &now_us, 10));
    rest_gate_free(gate);
}

static void
a_guest_that_never_rests_has_waited_long_enough_in_the_end(void **state)
{
    RestGate *gate = gate_of(1, 1, 3 * WINDOW_US);
    uint64_t now_us = 1;

    (void)state;
    assert_false(is_open_after(gate, &now_us, 100));
    assert_false(is_open_after(gate, &now_us, 100));
    assert_true(is_open_after(gate, &now_us, 100));
    rest_gate_free(gate);
}

static void a_vcpu_that_has_gone_uses_nothing(void **state)
{
    RestGate *gate = gate_of(1, 1, HOUR_US);
    uint64_t now_us = 1;

    (void)state;
    assert_false(is_open_after(gate, &now_us, 100));
    vcpu.has_gone = true;
    assert_true(is_open_after(gate, &now_us, 100));
    rest_gate_free(gate);
}

static uint64_t own_time_us(void)
{
    struct timespec time;

    assert_int_equal(__real_clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void a_threads_own_time_is_what_counts(void **state)
{
    uint32_t self = (uint32_t)gettid();
    RestGate *gate = rest_gate_new(&self, 1, 1, HOUR_US, 0);
    uint64_t again_us = 0;
    uint64_t begin_us;

    (void)state;
    vcpu.is_real = true;
    rest_gate_release(gate);
    (void)rest_gate_is_open(gate, 1, &again_us);
    begin_us = own_time_us();
    while (own_time_us() - begin_us < WINDOW_US) {
    }
    assert_false(rest_gate_is_open(gate, 1 + WINDOW_US, &again_us));
    assert_true(rest_gate_is_open(gate, 1 + HOUR_US / 2, &again_us));
    rest_gate_free(gate);
}

static void
a_limited_gate_opens_when_what_was_read_has_had_its_time(void **state)
{
    RestGate *gate = rest_gate_new(NULL, 0, 1, 0, 1000000);
    uint64_t again_us = 0;

    (void)state;
    assert_true(rest_gate_is_open(gate, 100, &again_us));
    rest_gate_note_read(gate, 100, 5000);
    rest_gate_note_read(gate, 100, 2000);
    assert_false(rest_gate_is_open(gate, 100, &again_us));
    assert_int_equal(again_us, 7100);
    assert_false(rest_gate_is_open(gate, 7099, &again_us));
    assert_true(rest_gate_is_open(gate, 7100, &again_us));
    /* What was not read meanwhile is not made up for. */
    rest_gate_note_read(gate, 9000, 1000);
    assert_false(rest_gate_is_open(gate, 9999, &again_us));
    rest_gate_free(gate);
}

static void
the_limit_holds_for_a_rest_that_does_not_wait_for_the_guest(void **state)
{
    RestGate *gate = rest_gate_new(NULL, 0, 1, 1000000, 1000000);
    uint64_t again_us = 0;

    (void)state;
    assert_false(rest_gate_is_open(gate, 100, &again_us));
    assert_true(rest_gate_limit_permits(gate, 100, &again_us));
    rest_gate_note_read(gate, 100, 5000);
    assert_false(rest_gate_limit_permits(gate, 5099, &again_us));
    assert_int_equal(again_us, 5100);
    assert_true(rest_gate_limit_permits(gate, 5100, &again_us));
    rest_gate_free(gate);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_closed_until_it_has_seen_the_guest),
        TEST(it_is_shut_until_the_guest_runs_but_not_for_ever),
        TEST(a_guest_that_computes_closes_it_and_one_that_rests_opens_it),
        TEST(processors_that_the_guest_leaves_free_open_it),
        TEST(a_single_processor_is_enough_for_a_guest_that_rests),
        TEST(a_guest_that_never_rests_has_waited_long_enough_in_the_end),
        TEST(a_vcpu_that_has_gone_uses_nothing),
        TEST(a_limited_gate_opens_when_what_was_read_has_had_its_time),
        TEST(the_limit_holds_for_a_rest_that_does_not_wait_for_the_guest),
        TEST(a_threads_own_time_is_what_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
