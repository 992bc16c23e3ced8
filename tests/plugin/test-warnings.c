/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include "plugin/warnings.h"
#include "util/clock.h"

#define FOR_EVER UINT64_MAX / 2

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* all below */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_shut; /* nobody reads */
static GString *written;

/* Whoever writes waits for a reader. */
static void write_text(const char *text)
{
    pthread_mutex_lock(&lock);
    while (is_shut) {
        pthread_cond_wait(&changed, &lock);
    }
    g_string_append_printf(written, "%s;", text);
    pthread_mutex_unlock(&lock);
}

static void set_shut(bool is)
{
    pthread_mutex_lock(&lock);
    is_shut = is;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void assert_written(const char *expected)
{
    pthread_mutex_lock(&lock);
    assert_string_equal(written->str, expected);
    pthread_mutex_unlock(&lock);
}

/* One for all tests, as it is never freed. */
static int set_up(void **state)
{
    static Warnings *warnings;

    if (!warnings) {
        warnings = warnings_new(write_text);
    }
    *state = warnings;
    written = g_string_new(NULL);
    return 0;
}

static int tear_down(void **state)
{
    g_string_free(written, TRUE);
    return 0;
}

static void warnings_are_written_in_their_order(void **state)
{
    warnings_add(*state, "a");
    warnings_add(*state, "b");
    warnings_add(*state, "c");
    warnings_await(*state, FOR_EVER);
    assert_written("a;b;c;");
    /* Also by the next thread. */
    warnings_add(*state, "d");
    warnings_await(*state, FOR_EVER);
    assert_written("a;b;c;d;");
}

static void who_warns_does_not_wait_for_a_reader(void **state)
{
    set_shut(true);
    warnings_add(*state, "a");
    warnings_add(*state, "b");
    assert_written("");
    set_shut(false);
    warnings_await(*state, FOR_EVER);
    assert_written("a;b;");
}

static void the_end_does_not_wait_for_ever_for_a_reader(void **state)
{
    set_shut(true);
    warnings_add(*state, "a");
    warnings_await(*state, monotonic_us() + 1000);
    assert_written("");
    set_shut(false);
    warnings_await(*state, FOR_EVER);
}

static void where_there_are_none_nobody_waits(void **state)
{
    warnings_await(*state, FOR_EVER);
    assert_written("");
}

static void warnings_that_nobody_reads_take_bounded_memory(void **state)
{
    set_shut(true);
    for (int i = 0; i < 1000; i++) {
        warnings_add(*state, "a");
    }
    set_shut(false);
    warnings_await(*state, FOR_EVER);
    /* One was with the writer, maybe. */
    assert_in_range(written->len, 100 * 2, 101 * 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(warnings_are_written_in_their_order),
        TEST(who_warns_does_not_wait_for_a_reader),
        TEST(the_end_does_not_wait_for_ever_for_a_reader),
        TEST(where_there_are_none_nobody_waits),
        TEST(warnings_that_nobody_reads_take_bounded_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
