/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loads that begin when a line comes.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/formats/image.h"
#include "tests/host/loader-world.h"

/* What happens to a QEMU that waits for a line on a pipe. */
typedef struct Waiting {
    Fixture *fixture;
    int fd;           /* where the line is to go */
    const char *text; /* what goes there; NULL: nothing */
    bool stays_open;  /* it is not closed then */
    int signal;       /* comes then; 0: none */
    void (*meanwhile)(Fixture *fixture);
    int64_t told_us;
    pid_t pid;
    GString *news; /* a letter for each */
} Waiting;

static void on_news(const LoadNews *news, void *opaque)
{
    Waiting *waiting = opaque;

    g_string_append_c(waiting->news, "WRPLFE"[news->kind]);
    waiting->pid = news->pid;
    if (news->kind == LOAD_NEWS_RESUMED) {
        assert_true(news->after_us <=
                    g_get_monotonic_time() - waiting->told_us);
    }
    if (news->kind != LOAD_NEWS_WAITING) {
        return;
    }
    if (waiting->meanwhile) {
        waiting->meanwhile(waiting->fixture);
    }
    waiting->told_us = g_get_monotonic_time();
    if (waiting->text) {
        ssize_t len = (ssize_t)strlen(waiting->text);

        assert_int_equal(write(waiting->fd, waiting->text, (size_t)len), len);
    }
    if (waiting->signal) {
        kill(getpid(), waiting->signal);
    }
    if (!waiting->stays_open) {
        close(waiting->fd);
    }
}

/* Of a program that was started long ago. */
static void prepare(Waiting *waiting, Fixture *fixture, const char *text)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    *waiting = (Waiting){.fixture = fixture,
                         .fd = fds[1],
                         .text = text,
                         .news = g_string_new(NULL)};
    assert_int_equal(fcntl(fds[1], F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[0], F_SETFD, FD_CLOEXEC), 0);
    fixture->options.start_fd = fds[0];
    fixture->options.start_us = 1;
    fixture->options.tell = on_news;
    fixture->options.tell_opaque = waiting;
}

static void assert_news(Waiting *waiting, const char *expected)
{
    assert_string_equal(waiting->news->str, expected);
    g_string_free(waiting->news, TRUE);
}

static void nothing_is_loaded_until_a_line_comes(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "a word\nand more");
    assert_int_equal(load_well(fixture, "ends-with-7"), 7);
    assert_sequence(fixture, "qmp query-status", "control load");
    assert_sequence(fixture, "control load", "control attach");
    assert_told(fixture, "qmp cont");
    assert_true(waiting.pid > 0);
    assert_news(&waiting, "WRE");
}

static void the_time_counts_from_the_line(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "\n");
    load_well(fixture, "");
    assert_false(was_told(fixture, "\"start-us\": 1,"));
    assert_news(&waiting, "WRE");
}

static void one_that_is_not_wanted_ends_without_a_word(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, NULL);
    assert_int_equal(load_well(fixture, "is-not-wanted"), LOADER_NOT_WANTED);
    assert_told(fixture, "qmp quit");
    assert_false(was_told(fixture, "control load"));
    assert_string_equal(said->str, "");
    assert_news(&waiting, "W");
}

static void half_a_line_is_none(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "sta");
    assert_int_equal(load_well(fixture, "is-not-wanted"), LOADER_NOT_WANTED);
    assert_news(&waiting, "W");
}

static void a_daemon_that_is_not_wanted_ends(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-daemonize", NULL};
    Waiting waiting;
    int status;

    prepare(&waiting, fixture, NULL);
    fixture->options.qemu_argv = argv;
    assert_int_equal(load_well(fixture, "is-not-wanted"), LOADER_NOT_WANTED);
    assert_int_equal(waitpid(daemon_pid(fixture), &status, 0),
                     daemon_pid(fixture));
    assert_int_equal(status, 0);
    assert_news(&waiting, "W");
}

static void another_machine_is_refused_before_it_waits(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "\n");
    load_badly(fixture, "other-ram", UTIL_ERROR_FAILED, "pc.ram");
    assert_told(fixture, "qmp quit");
    assert_news(&waiting, "");
}

static void one_that_has_got_another_guest_is_not_loaded_into(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "\n");
    load_badly(fixture, "has-a-guest", UTIL_ERROR_FAILED, "it has one");
    assert_false(was_told(fixture, "control load"));
    assert_news(&waiting, "W");
}

static void write_to_it(Fixture *fixture)
{
    int fd = open(fixture->snapshot, O_WRONLY | O_APPEND);

    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void replace_it(Fixture *fixture)
{
    const Image image = image_small();

    assert_int_equal(unlink(fixture->snapshot), 0);
    image_save(&image, fixture->snapshot);
}

static void a_snapshot_written_to_meanwhile_is_refused(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;
    GError *error = NULL;
    int status;

    prepare(&waiting, fixture, "\n");
    waiting.meanwhile = write_to_it;
    assert_false(load(fixture, "waits-in-vain", &status, &error));
    assert_non_null(strstr(error->message, "was written to"));
    g_error_free(error);
    assert_false(was_told(fixture, "control attach"));
    assert_news(&waiting, "W");
}

static void a_snapshot_replaced_meanwhile_is_refused(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, "\n");
    waiting.meanwhile = replace_it;
    load_badly(fixture, "waits-in-vain", UTIL_ERROR_FAILED,
               "another file is there");
    assert_false(was_told(fixture, "control attach"));
    assert_news(&waiting, "W");
}

static void the_end_of_one_that_waits_is_told(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, NULL);
    waiting.stays_open = true;
    assert_int_equal(load_well(fixture, "ends-while-it-waits"), 5);
    assert_said("status 5 before the guest was loaded");
    close(waiting.fd);
    g_string_free(waiting.news, TRUE);
}

static void a_signal_ends_one_that_waits(void **state)
{
    Fixture *fixture = *state;
    Waiting waiting;

    prepare(&waiting, fixture, NULL);
    waiting.stays_open = true;
    waiting.signal = SIGTERM;
    assert_int_equal(load_well(fixture, "is-not-wanted"), 128 + SIGTERM);
    close(waiting.fd);
    assert_news(&waiting, "WE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_loaded_until_a_line_comes),
        TEST(the_time_counts_from_the_line),
        TEST(one_that_is_not_wanted_ends_without_a_word),
        TEST(half_a_line_is_none),
        TEST(a_daemon_that_is_not_wanted_ends),
        TEST(another_machine_is_refused_before_it_waits),
        TEST(one_that_has_got_another_guest_is_not_loaded_into),
        TEST(a_snapshot_written_to_meanwhile_is_refused),
        TEST(a_snapshot_replaced_meanwhile_is_refused),
        TEST(the_end_of_one_that_waits_is_told),
        TEST(a_signal_ends_one_that_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
