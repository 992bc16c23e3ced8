/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loads whose QEMU is to end, or does.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/host/loader-world.h"

static void send_term(const char *text)
{
    say(text);
    if (strstr(text, "do not answer")) {
        kill(getpid(), SIGTERM);
    }
}

static void a_qemu_that_waits_itself_is_told_of_and_can_be_ended(void **state)
{
    Fixture *fixture = *state;

    fixture->options.say = send_term;
    assert_int_equal(load_well(fixture, "blocks"), 128 + SIGKILL);
    assert_said("QEMU itself waits for a page that cannot be read");
    assert_said("quit");
    assert_told(fixture, "control quit");
}

static void one_that_not_even_the_plugin_can_end_is_killed(void **state)
{
    Fixture *fixture = *state;

    fixture->options.say = send_term;
    assert_int_equal(load_well(fixture, "blocks-for-good"), 128 + SIGKILL);
    assert_told(fixture, "control quit");
}

static void a_signal_ends_a_qemu_in_its_own_way(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "is-ended-by-a-signal"), 128 + SIGTERM);
    assert_false(was_told(fixture, "control quit"));
    assert_false(was_told(fixture, "qmp quit"));
}

static void a_signal_ends_the_waiting_for_pages(void **state)
{
    Fixture *fixture = *state;

    fixture->options.wait = LOAD_WAIT_ALL;
    assert_int_equal(load_well(fixture, "is-to-end-while-waiting"),
                     128 + SIGTERM);
    assert_false(was_told(fixture, "qmp cont"));
}

static void a_signal_ends_a_daemon_before_it_runs(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-daemonize", NULL};
    int status;

    fixture->options.qemu_argv = argv;
    fixture->options.wait = LOAD_WAIT_ALL;
    assert_int_equal(load_well(fixture, "is-to-end-while-waiting"),
                     128 + SIGTERM);
    assert_int_equal(waitpid(daemon_pid(fixture), &status, 0),
                     daemon_pid(fixture));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void a_daemon_that_ends_before_it_runs_is_a_failure(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-daemonize", NULL};

    fixture->options.qemu_argv = argv;
    assert_int_equal(load_well(fixture, "ends-unloaded"), 1);
    assert_said("before the guest was loaded");
    waitpid(daemon_pid(fixture), NULL, 0);
}

static void a_daemon_is_left_alone_when_it_runs(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-daemonize", NULL};
    int status;

    fixture->options.qemu_argv = argv;
    assert_int_equal(load_well(fixture, ""), 0);
    assert_int_equal(waitpid(daemon_pid(fixture), &status, 0),
                     daemon_pid(fixture));
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_qemu_that_waits_itself_is_told_of_and_can_be_ended),
        TEST(one_that_not_even_the_plugin_can_end_is_killed),
        TEST(a_signal_ends_a_qemu_in_its_own_way),
        TEST(a_signal_ends_the_waiting_for_pages),
        TEST(a_signal_ends_a_daemon_before_it_runs),
        TEST(a_daemon_that_ends_before_it_runs_is_a_failure),
        TEST(a_daemon_is_left_alone_when_it_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
