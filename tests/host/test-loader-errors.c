/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loads of a snapshot that cannot be read, or not quickly, or that has changed.
 */
#include <signal.h>
#include <string.h>

#include "tests/host/loader-world.h"

static void a_read_error_stops_the_guest_until_it_is_mended(void **state)
{
    Fixture *fixture = *state;
    const char *stop;

    assert_int_equal(load_well(fixture, "read-error"), 0);
    assert_told(fixture, "qmp stop");
    stop = strstr(fixture->log, "qmp stop");
    assert_non_null(strstr(stop, "qmp cont"));
    assert_said("vm.snap: reading at offset 4096 failed: Input/output error");
    assert_said("needs that page and is stopped");
    assert_said("retry");
    assert_said("reading goes on");
}

static void a_page_that_nobody_waits_for_stops_no_guest(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "read-error-of-nobody");
    assert_false(was_told(fixture, "qmp stop"));
    assert_said("The guest runs on until it needs that page");
    assert_said("reading goes on");
}

static void the_guest_goes_on_when_the_page_it_waited_for_is_there(void **state)
{
    Fixture *fixture = *state;
    const char *partly, *wholly;

    load_well(fixture, "read-error-of-two");
    assert_said("the pages that the guest waited for are loaded, and it runs "
                "on; other pages still cannot be read");
    partly = strstr(said->str, "the pages that the guest waited for");
    wholly = strstr(said->str, "reading goes on");
    assert_non_null(wholly);
    assert_true(partly < wholly);
}

static void a_read_error_of_a_paused_guest_stops_nobody(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-S", (char *)"-paused", NULL};

    fixture->options.qemu_argv = argv;
    load_well(fixture, "");
    assert_said("The guest is paused");
    assert_null(strstr(said->str, "stopped"));
    assert_false(was_told(fixture, "qmp stop"));
}

/* The monitor does not answer yet, and nobody knows QEMU's process. */
static void an_early_read_error_is_told_with_qemus_process(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "early-read-error");
    assert_said("the guest will run until it needs that page");
    assert_null(strstr(said->str, "stopped"));
    assert_null(strstr(said->str, "--pid 0"));
    assert_told(fixture, "qmp cont");
    assert_false(was_told(fixture, "qmp stop"));
}

static void a_read_error_of_the_devices_is_told_as_such(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "read-error-of-devices");
    assert_said("QEMU needs that page to load the guest's devices");
    assert_null(strstr(said->str, "stopped"));
}

static void a_guest_that_waits_for_all_pages_is_told_to_do_so(void **state)
{
    Fixture *fixture = *state;

    fixture->options.wait = LOAD_WAIT_ALL;
    load_well(fixture, "read-error-while-waiting");
    assert_said("with --wait all, the guest runs when that page is loaded");
    assert_null(strstr(said->str, "stopped"));
    assert_told(fixture, "qmp cont");
}

static void a_slow_read_is_told_once_and_again_when_somebody_waits(void **state)
{
    Fixture *fixture = *state;
    const char *text = "vm.snap: reading at offset 8192 has taken 7 s so far";
    const char *first, *second;

    load_well(fixture, "slow");
    assert_said(text);
    first = strstr(said->str, text);
    second = strstr(first + 1, text);
    assert_non_null(second);
    assert_null(strstr(second + 1, text));
    assert_non_null(strstr(second, "QEMU waits for it"));
    assert_false(was_told(fixture, "qmp stop"));
}

static void a_guest_whose_snapshot_has_changed_is_stopped_for_good(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "changed");
    assert_said("vm.snap: its mtime has changed.  The guest is not the one "
                "that was saved");
}

static void one_that_waits_for_a_changed_snapshot_can_be_ended(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "changed-and-blocks"), 128 + SIGKILL);
    assert_said("preheat control --pid");
    assert_told(fixture, "control quit");
}

static void a_guest_is_not_run_on_pages_that_qemu_has_written(void **state)
{
    Fixture *fixture = *state;

    load_badly(fixture, "writes-pages", UTIL_ERROR_REFUSED,
               "QEMU has written to page 7");
    assert_false(was_told(fixture, "qmp cont"));
    assert_told(fixture, "qmp quit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_read_error_stops_the_guest_until_it_is_mended),
        TEST(a_page_that_nobody_waits_for_stops_no_guest),
        TEST(the_guest_goes_on_when_the_page_it_waited_for_is_there),
        TEST(a_read_error_of_a_paused_guest_stops_nobody),
        TEST(an_early_read_error_is_told_with_qemus_process),
        TEST(a_read_error_of_the_devices_is_told_as_such),
        TEST(a_guest_that_waits_for_all_pages_is_told_to_do_so),
        TEST(a_slow_read_is_told_once_and_again_when_somebody_waits),
        TEST(a_guest_whose_snapshot_has_changed_is_stopped_for_good),
        TEST(one_that_waits_for_a_changed_snapshot_can_be_ended),
        TEST(a_guest_is_not_run_on_pages_that_qemu_has_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
