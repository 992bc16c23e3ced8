/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <signal.h>

#include "cli/interrupts.h"

static void a_signal_that_asks_to_end_is_taken(void **state)
{
    int fd = interrupts_open();

    raise(SIGTERM);
    assert_int_equal(interrupts_take(fd), SIGTERM);
    assert_int_equal(interrupts_take(fd), 0);
    interrupts_close(fd);
}

/* As nohup(1) has it. */
static void a_signal_that_was_ignored_before_is_none(void **state)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGHUP, SIG_IGN);
    int fd = interrupts_open();
    raise(SIGHUP);
    assert_int_equal(interrupts_take(fd), 0);
    raise(SIGTERM);
    assert_int_equal(interrupts_take(fd), SIGTERM);
    interrupts_close(fd);
    signal(SIGHUP, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_that_asks_to_end_is_taken),
        cmocka_unit_test(a_signal_that_was_ignored_before_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
