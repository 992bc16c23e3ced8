/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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
static Launcher *start_any(Fixture *fixture, const char *script,
                           bool becomes_daemon)
{
    g_autofree char *number = g_strdup_printf("%d", fixture->to_parent);
    char *argv[] = {(char *)"sh",   (char *)"-c", (char *)script,
                    (char *)"test", number,       NULL};
    GError *error = NULL;
    Launcher *launcher =
        launcher_start(argv, &fixture->to_parent, 1, becomes_daemon, &error);

    assert_no_error(error);
    return launcher;
}

static Launcher *start(Fixture *fixture, const char *script)
{
    return start_any(fixture, script, false);
}

/* Byte by byte: what follows the line is left for the next. */
static void read_line(Fixture *fixture, char *line, size_t size)
{
    size_t len = 0;

    do {
        assert_true(len + 1 < size);
        assert_int_equal(read(fixture->from_child, line + len, 1), 1);
    } while (line[len++] != '\n');
    line[len] = '\0';
}

static void await_line(Fixture *fixture, const char *line)
{
    char received[100];

    read_line(fixture, received, sizeof(received));
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

    assert_null(launcher_start(argv, NULL, 0, false, &error));
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

static bool is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

static void await_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&poll_fd, 1, -1), 1);
}

static void who_waits_is_told_of_a_signal_that_asks_to_end(void **state)
{
    Launcher *launcher = start(*state, "trap '' TERM; " READY_AND_BUSY);
    int fd = launcher_interrupt_fd(launcher);

    await_line(*state, "ready\n");
    assert_false(is_readable(fd));
    assert_int_equal(launcher_take_interrupt(launcher), 0);
    kill(getpid(), SIGTERM);
    await_readable(fd);
    assert_int_equal(launcher_take_interrupt(launcher), SIGTERM);
    assert_false(is_readable(fd));
    launcher_signal(launcher, SIGKILL);
    assert_ends(launcher, 128 + SIGKILL);
}

static void who_waits_is_not_told_of_a_signal_that_ends_nothing(void **state)
{
    Launcher *launcher = start(*state, "trap 'exit 9' USR1; " READY_AND_BUSY);

    await_line(*state, "ready\n");
    kill(getpid(), SIGUSR1);
    assert_int_equal(launcher_wait(launcher), 9);
    assert_int_equal(launcher_take_interrupt(launcher), 0);
    launcher_free(launcher);
}

static void a_stopped_child_can_be_ended(void **state)
{
    Launcher *launcher = start(*state, "echo ready >&$1; kill -STOP $$");
    siginfo_t info;

    await_line(*state, "ready\n");
    assert_int_equal(waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT), 0);
    kill(getpid(), SIGTERM);
    assert_ends(launcher, 128 + SIGTERM);
}

/* A daemon that says its process ID, and writes what ends it. */
#define DAEMON                                                                 \
    "(setsid sh -c \"trap 'echo term >&$1; exit' TERM; echo \\$\\$ >&$1; "     \
    "while :; do :; done\" &) ; exit 5"

static pid_t await_pid(Fixture *fixture)
{
    char received[100];

    read_line(fixture, received, sizeof(received));
    return (pid_t)atoi(received);
}

static void signals_follow_a_child_that_becomes_a_daemon(void **state)
{
    Launcher *launcher = start_any(*state, DAEMON, true);
    pid_t pid = await_pid(*state);

    assert_true(launcher_follow(launcher, pid));
    assert_int_equal(launcher_wait(launcher), 5);
    launcher_signal(launcher, SIGTERM);
    await_line(*state, "term\n");
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    launcher_free(launcher);
}

static void signals_that_come_follow_it_too(void **state)
{
    Launcher *launcher = start_any(*state, DAEMON, true);
    pid_t pid = await_pid(*state);

    assert_true(launcher_follow(launcher, pid));
    kill(getpid(), SIGTERM);
    await_line(*state, "term\n");
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    launcher_wait(launcher);
    launcher_free(launcher);
}

/* It would stay a zombie for as long as the child lives. */
static void what_else_loses_its_parent_does_not_become_ours(void **state)
{
    Launcher *launcher = start(*state, DAEMON);
    pid_t pid = await_pid(*state);

    assert_int_equal(launcher_wait(launcher), 5);
    assert_false(launcher_follow(launcher, pid));
    kill(pid, SIGTERM);
    await_line(*state, "term\n");
    launcher_free(launcher);
}

/* A process ID that is none of our descendants' is a stranger's. */
static void nobody_else_is_followed(void **state)
{
    Launcher *launcher = start(*state, "trap 'exit 6' TERM; " READY_AND_BUSY);
    pid_t stranger = getppid();

    await_line(*state, "ready\n");
    assert_false(launcher_follow(launcher, stranger));
    assert_false(launcher_follow(launcher, getpid()));
    kill(getpid(), SIGTERM);
    assert_ends(launcher, 6);
}

static void one_that_has_ended_is_not_followed(void **state)
{
    Launcher *launcher = start(*state, "sh -c 'echo $$' >&$1; "
                                       "trap 'exit 6' TERM; " READY_AND_BUSY);
    pid_t pid = await_pid(*state);

    await_line(*state, "ready\n");
    assert_false(launcher_follow(launcher, pid));
    launcher_signal(launcher, SIGTERM);
    assert_ends(launcher, 6);
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
        TEST(who_waits_is_told_of_a_signal_that_asks_to_end),
        TEST(who_waits_is_not_told_of_a_signal_that_ends_nothing),
        TEST(a_stopped_child_can_be_ended),
        TEST(signals_follow_a_child_that_becomes_a_daemon),
        TEST(signals_that_come_follow_it_too),
        TEST(what_else_loses_its_parent_does_not_become_ours),
        TEST(nobody_else_is_followed),
        TEST(one_that_has_ended_is_not_followed),
        TEST(the_child_has_only_the_descriptors_it_is_to_have),
        TEST(the_child_ends_with_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
