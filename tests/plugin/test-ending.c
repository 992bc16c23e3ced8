/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What becomes of a process whose launcher goes, and its end.  Ends are of
 * child processes.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin/ending.h"

#define MISSING "vm.snap: reading at offset 4096 failed: Input/output error"

static const EndingTrouble missing = {MISSING, true, true};

/* Where children say what they say, and what they write at their end. */
static int said_fd = -1;

static void say_to_pipe(const char *text)
{
    (void)!write(said_fd, text, strlen(text));
    (void)!write(said_fd, "\n", 1);
}

static void write_it_down(void *opaque)
{
    say_to_pipe("written");
}

static void write_for_ever(void *opaque)
{
    for (;;) {
        pause();
    }
}

/* Run in a child process until it ends; what it said, for g_free(). */
static char *run_child(void (*run)(void), int *ret_status)
{
    GString *said = g_string_new(NULL);
    char piece[4096];
    ssize_t n;
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        said_fd = fds[1];
        run();
        _exit(0);
    }
    close(fds[1]);
    while ((n = read(fds[0], piece, sizeof piece)) > 0) {
        g_string_append_len(said, piece, n);
    }
    close(fds[0]);
    assert_int_equal(waitpid(child, ret_status, 0), child);
    return g_string_free(said, FALSE);
}

static void assert_killed(int status)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void assert_says(const char *said, const char *text)
{
    if (!said || !strstr(said, text)) {
        fail_msg("\"%s\" does not say \"%s\"", said ? said : "", text);
    }
}

static Ending *new_ending(bool dies_with_launcher)
{
    return ending_new(&(EndingHost){
        .say = say_to_pipe,
        .write = write_it_down,
        .dies_with_launcher = dies_with_launcher,
    });
}

/* ---- ends ---- */

static void end(void)
{
    ending_now(new_ending(false), "quit was asked for");
}

static void a_process_says_why_it_ends_and_writes_down_what_it_has(void **state)
{
    int status;
    g_autofree char *said = run_child(end, &status);

    assert_killed(status);
    assert_says(said, "quit was asked for");
    assert_says(said, "\nwritten\n");
}

static void end_though_writing_hangs(void)
{
    ending_now(
        ending_new(&(EndingHost){say_to_pipe, write_for_ever, NULL, false}),
        "quit was asked for");
}

static void a_process_ends_though_what_it_writes_to_hangs(void **state)
{
    int status;
    g_autofree char *said = run_child(end_though_writing_hangs, &status);

    assert_killed(status);
    assert_says(said, "quit was asked for");
}

static atomic_uint n_writes;

/* Gives another one the time to begin. */
static void write_and_linger(void *opaque)
{
    say_to_pipe("written");
    atomic_fetch_add(&n_writes, 1);
    for (unsigned i = 0; i < 500 && atomic_load(&n_writes) < 2; i++) {
        g_usleep(1000);
    }
}

static void *end_in_thread(void *opaque)
{
    ending_now(opaque, "both");
}

static void end_twice(void)
{
    Ending *ending =
        ending_new(&(EndingHost){say_to_pipe, write_and_linger, NULL, false});
    pthread_t thread;

    pthread_create(&thread, NULL, end_in_thread, ending);
    ending_now(ending, "both");
}

static void a_process_that_is_to_end_twice_writes_once(void **state)
{
    int status;
    g_autofree char *said = run_child(end_twice, &status);

    assert_killed(status);
    assert_null(strstr(strstr(said, "both") + 1, "both"));
    assert_null(strstr(strstr(said, "written") + 1, "written"));
}

/* The first process of a new PID namespace, which SIGKILL from inside leaves
 * alone; its own status is passed on. */
static void end_first_process(void)
{
    int status = 0;
    pid_t child;

    if (unshare(CLONE_NEWPID) < 0) {
        _exit(77);
    }
    child = fork();
    if (child == 0) {
        end();
    }
    waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void the_first_process_of_a_container_ends_as_well(void **state)
{
    int status;
    g_autofree char *said = run_child(end_first_process, &status);

    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: may not make a PID namespace\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 128 + SIGKILL);
    assert_says(said, "written");
}

static void lose_launcher_early(void)
{
    ending_launcher_gone(new_ending(false), false, false);
}

static void a_launcher_that_goes_before_the_guest_runs_is_the_end(void **state)
{
    int status;
    g_autofree char *said = run_child(lose_launcher_early, &status);

    assert_killed(status);
    assert_says(said, "before the guest was resumed");
    assert_says(said, "written");
}

static void lose_launcher_late(void)
{
    Ending *ending = new_ending(true);

    ending_handed_over(ending);
    ending_launcher_gone(ending, false, false);
    pause();
}

/* The kernel's own order for that is gone when QEMU has changed its user. */
static void a_process_that_dies_with_its_launcher_is_told_to_end(void **state)
{
    int status;
    g_autofree char *said = run_child(lose_launcher_late, &status);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_string_equal(said, "");
}

static void miss_page_without_launcher(void)
{
    Ending *ending = new_ending(true);

    signal(SIGTERM, SIG_IGN);
    ending_handed_over(ending);
    ending_launcher_gone(ending, false, false);
    ending_page_missing(ending, &missing);
    for (;;) {
        pause();
    }
}

static void lose_launcher_of_stuck_process(void)
{
    Ending *ending = new_ending(true);

    signal(SIGTERM, SIG_IGN);
    ending_handed_over(ending);
    ending_page_missing(ending, &missing);
    ending_launcher_gone(ending, true, true);
    for (;;) {
        pause();
    }
}

/* It is told to, and cannot heed that. */
static void
a_process_that_was_to_die_with_its_launcher_ends_where_it_is_stuck(void **state)
{
    void (*const ways[])(void) = {miss_page_without_launcher,
                                  lose_launcher_of_stuck_process};

    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
        int status;
        g_autofree char *said = run_child(ways[i], &status);

        assert_killed(status);
        assert_says(said, MISSING);
        assert_says(said, "written");
    }
}

/* ---- going on alone ---- */

/* What this process says, which stays. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    GString *text;
    unsigned n;
} spoken = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0};

static void note_spoken(const char *text)
{
    pthread_mutex_lock(&spoken.lock);
    g_string_append_printf(spoken.text, "%s\n", text);
    spoken.n++;
    pthread_cond_broadcast(&spoken.changed);
    pthread_mutex_unlock(&spoken.lock);
}

/* Wait until so many things were said; all of them, for g_free(). */
static char *await_spoken(unsigned n)
{
    pthread_mutex_lock(&spoken.lock);
    while (spoken.n < n) {
        pthread_cond_wait(&spoken.changed, &spoken.lock);
    }
    assert_int_equal(spoken.n, n);
    char *text = g_strdup(spoken.text->str);
    pthread_mutex_unlock(&spoken.lock);
    return text;
}

/* Never freed, but not lost either. */
static Ending *endings[8];
static unsigned n_endings;

static Ending *watched_ending(bool dies_with_launcher)
{
    Ending *ending = ending_new(
        &(EndingHost){note_spoken, write_for_ever, NULL, dies_with_launcher});

    assert_true(n_endings < G_N_ELEMENTS(endings));
    endings[n_endings++] = ending;
    if (!spoken.text) {
        spoken.text = g_string_new(NULL);
    }
    g_string_truncate(spoken.text, 0);
    spoken.n = 0;
    ending_handed_over(ending);
    return ending;
}

static void assert_ways_out(const char *said, bool can_retry)
{
    g_autofree char *retry =
        g_strdup_printf("\"preheat control --pid %d retry\"", (int)getpid());
    g_autofree char *quit =
        g_strdup_printf("\"preheat control --pid %d quit\"", (int)getpid());

    assert_says(said, MISSING);
    assert_says(said, quit);
    assert_int_equal(strstr(said, retry) != NULL, can_retry);
}

static void a_page_that_is_missing_later_is_said_with_the_ways_out(void **state)
{
    Ending *ending = watched_ending(false);

    ending_launcher_gone(ending, false, false);
    ending_page_missing(ending, &missing);
    g_autofree char *said = await_spoken(1);
    assert_ways_out(said, true);
}

static void a_page_that_no_retry_brings_is_said_without_that_way(void **state)
{
    Ending *ending = watched_ending(false);

    ending_launcher_gone(ending, false, false);
    ending_page_missing(ending, &(EndingTrouble){MISSING, true, false});
    g_autofree char *said = await_spoken(1);
    assert_ways_out(said, false);
}

static void a_page_that_was_missing_before_is_said_then(void **state)
{
    Ending *ending = watched_ending(false);

    ending_page_missing(ending, &missing);
    ending_launcher_gone(ending, true, true);
    g_autofree char *said = await_spoken(1);
    assert_ways_out(said, true);
}

/* It can heed that it is told to end. */
static void
a_process_that_was_to_die_with_its_launcher_and_can_is_left_alone(void **state)
{
    Ending *ending = watched_ending(true);

    signal(SIGTERM, SIG_IGN);
    ending_page_missing(ending, &(EndingTrouble){MISSING, false, true});
    ending_launcher_gone(ending, true, false);
    g_autofree char *said = await_spoken(1);
    assert_ways_out(said, true);
    assert_null(strstr(said, "waits for that page"));
}

static void
what_the_launcher_heard_and_what_was_mended_is_not_said(void **state)
{
    Ending *ending = watched_ending(false);

    ending_page_slow(ending, "slow");
    ending_page_missing(ending, &missing);
    ending_launcher_gone(ending, false, false);
    ending_page_slow(ending, "slower");
    g_autofree char *said = await_spoken(1);
    assert_string_equal(said, "slower\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* They fork, and so come before any thread. */
        cmocka_unit_test(
            a_process_says_why_it_ends_and_writes_down_what_it_has),
        cmocka_unit_test(a_process_ends_though_what_it_writes_to_hangs),
        cmocka_unit_test(a_process_that_is_to_end_twice_writes_once),
        cmocka_unit_test(the_first_process_of_a_container_ends_as_well),
        cmocka_unit_test(a_launcher_that_goes_before_the_guest_runs_is_the_end),
        cmocka_unit_test(a_process_that_dies_with_its_launcher_is_told_to_end),
        cmocka_unit_test(
            a_process_that_was_to_die_with_its_launcher_ends_where_it_is_stuck),
        cmocka_unit_test(
            a_page_that_is_missing_later_is_said_with_the_ways_out),
        cmocka_unit_test(a_page_that_no_retry_brings_is_said_without_that_way),
        cmocka_unit_test(a_page_that_was_missing_before_is_said_then),
        cmocka_unit_test(
            a_process_that_was_to_die_with_its_launcher_and_can_is_left_alone),
        cmocka_unit_test(
            what_the_launcher_heard_and_what_was_mended_is_not_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
