/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "host/launcher.h"

static const int passed[] = {SIGINT,  SIGTERM, SIGHUP,
                             SIGQUIT, SIGUSR1, SIGUSR2};

/* The shell that is started says a line on this pipe when it is ready. */
typedef struct Fixture {
    int from_child;
    int to_parent;
    sigset_t mask;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -1;
    }
    fixture->from_child = fds[0];
    fixture->to_parent = fds[1];
    /* A shell cannot trap what it inherits as ignored: SIGQUIT, for example,
     * where the tests are run in the background. */
    for (size_t i = 0; i < G_N_ELEMENTS(passed); i++) {
        signal(passed[i], SIG_DFL);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &fixture->mask);
    *state = fixture;
    return 0;
}

/* As the launcher found it: a second child must not inherit blocked signals. */
static void restore_mask(const Fixture *fixture)
{
    pthread_sigmask(SIG_SETMASK, &fixture->mask, NULL);
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    close(fixture->from_child);
    if (fixture->to_parent >= 0) {
        close(fixture->to_parent);
    }
    restore_mask(fixture);
    g_free(fixture);
    return 0;
}

/* script may use $1: the number of the pipe's end. */
static Launcher *start(Fixture *fixture, const char *script)
{
    g_autofree char *number = g_strdup_printf("%d", fixture->to_parent);
    char *argv[] = {(char *)"sh",   (char *)"-c", (char *)script,
                    (char *)"test", number,       NULL};
    GError *error = NULL;
    Launcher *launcher = launcher_start(argv, &fixture->to_parent, 1, &error);

    assert_no_error(error);
    return launcher;
}

static void await_line(Fixture *fixture, const char *line)
{
    char received[100] = "";

    assert_true(read(fixture->from_child, received, sizeof(received) - 1) > 0);
    assert_string_equal(received, line);
}

static void assert_ends(Launcher *launcher, int status)
{
    assert_int_equal(launcher_wait(launcher), status);
    launcher_free(launcher);
}

static void the_exit_status_is_passed_on(void **state)
{
    assert_ends(start(*state, "exit 0"), 0);
    assert_ends(start(*state, "exit 7"), 7);
}

static void a_death_by_a_signal_is_told_as_a_shell_does(void **state)
{
    assert_ends(start(*state, "kill -KILL $$"), 128 + SIGKILL);
}

static void the_status_can_be_asked_for_twice(void **state)
{
    Launcher *launcher = start(*state, "exit 3");

    assert_int_equal(launcher_wait(launcher), 3);
    assert_ends(launcher, 3);
}

static void a_program_that_is_missing_is_named(void **state)
{
    char *argv[] = {(char *)"/missing/qemu", NULL};
    GError *error = NULL;

    assert_null(launcher_start(argv, NULL, 0, &error));
    assert_non_null(strstr(error->message, "/missing/qemu"));
    g_error_free(error);
}

/* Until a trap ends it.  Busy, since a process that it waited for could
 * outlive it. */
#define READY_AND_BUSY "echo ready >&$1; while :; do :; done"

static void signals_are_passed_on(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(passed); i++) {
        g_autofree char *script = g_strdup_printf(
            "trap 'exit %d' %d; " READY_AND_BUSY, 40 + (int)i, passed[i]);
        Launcher *launcher = start(*state, script);

        await_line(*state, "ready\n");
        kill(getpid(), passed[i]);
        assert_ends(launcher, 40 + (int)i);
        restore_mask(*state);
    }
}

static void a_hopeless_child_is_killed_when_it_is_to_end(void **state)
{
    Launcher *launcher = start(*state, "trap '' TERM; echo ready >&$1; "
                                       "exec sleep 1000");

    await_line(*state, "ready\n");
    launcher_set_hopeless(launcher, true);
    kill(getpid(), SIGTERM);
    assert_ends(launcher, 128 + SIGKILL);
}

static void a_hopeless_child_still_gets_signals_that_end_nothing(void **state)
{
    Launcher *launcher = start(*state, "trap 'exit 9' USR1; " READY_AND_BUSY);

    await_line(*state, "ready\n");
    launcher_set_hopeless(launcher, true);
    kill(getpid(), SIGUSR1);
    assert_ends(launcher, 9);
}

static void the_child_has_only_the_descriptors_it_is_to_have(void **state)
{
    Fixture *fixture = *state;
    int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    g_autofree char *script = g_strdup_printf(
        "test -e /dev/fd/$1 || exit 1; test -e /dev/fd/%d && exit 2; exit 0",
        other);

    assert_ends(start(fixture, script), 0);
    close(other);
}

static void the_child_ends_with_its_parent(void **state)
{
    Fixture *fixture = *state;
    pid_t parent = fork();
    char nothing;

    if (parent == 0) {
        start(fixture, "echo ready >&$1; exec sleep 1000");
        pause();
        _exit(0);
    }
    close(fixture->to_parent);
    fixture->to_parent = -1;
    await_line(fixture, "ready\n");
    kill(parent, SIGKILL);
    /* The pipe ends when the last process that writes to it has ended. */
    assert_int_equal(read(fixture->from_child, &nothing, 1), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_exit_status_is_passed_on),
        TEST(a_death_by_a_signal_is_told_as_a_shell_does),
        TEST(the_status_can_be_asked_for_twice),
        TEST(a_program_that_is_missing_is_named),
        TEST(signals_are_passed_on),
        TEST(a_hopeless_child_is_killed_when_it_is_to_end),
        TEST(a_hopeless_child_still_gets_signals_that_end_nothing),
        TEST(the_child_has_only_the_descriptors_it_is_to_have),
        TEST(the_child_ends_with_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
