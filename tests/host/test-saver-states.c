/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In which states a guest is saved, and how it goes on.
 */
#include "tests/host/saver-world.h"

#include <string.h>

/* Saves it as it stands, and says why. */
static void assert_saved_as_it_stands(Fixture *fixture, const char *run_state,
                                      const char *text)
{
    SaveResult result;
    g_autofree char *saved = NULL;

    fixture->qemu.run_state = run_state;
    result = save_well(fixture);
    assert_false(log_has(fixture, "stop"));
    assert_false(log_has(fixture, "cont"));
    assert_int_equal(result.stopped_us, 0);
    assert_files(fixture, "vm.snap vm.snap.json");
    assert_non_null(strstr(said->str, text));
    saved = saved_run_state(fixture);
    assert_string_equal(saved, run_state);
}

static void a_paused_guest_is_saved_and_stays_paused(void **state)
{
    assert_saved_as_it_stands(*state, "paused", "postmigrate");
}

static void a_guest_that_has_not_run_yet_is_saved_so(void **state)
{
    assert_saved_as_it_stands(*state, "prelaunch", "has not run yet");
}

static void a_guest_with_a_disk_error_is_saved_with_a_warning(void **state)
{
    assert_saved_as_it_stands(*state, "io-error", "a disk error");
}

static void
a_guest_that_its_watchdog_stopped_is_saved_with_a_warning(void **state)
{
    assert_saved_as_it_stands(*state, "watchdog", "its watchdog");
}

static void a_guest_that_crashed_is_saved_with_a_warning(void **state)
{
    assert_saved_as_it_stands(*state, "guest-panicked", "has crashed");
}

/* What "cont" could not bring back is not saved. */
static void assert_refused(Fixture *fixture, const char *run_state,
                           const char *text)
{
    fixture->qemu.run_state = run_state;
    save_badly(fixture, UTIL_ERROR_FAILED, text);
    assert_string_equal(fixture->qemu.run_state, run_state);
    assert_false(log_has(fixture, "migrate-set"));
    assert_false(log_has(fixture, "stop"));
    assert_false(log_has(fixture, "cont"));
    assert_files(fixture, "");
}

static void a_guest_that_sleeps_is_refused(void **state)
{
    assert_refused(*state, "suspended", "system_wakeup");
}

static void a_guest_that_has_shut_down_is_refused(void **state)
{
    assert_refused(*state, "shutdown", "has shut down");
}

static void a_guest_that_needs_a_reset_is_refused(void **state)
{
    assert_refused(*state, "internal-error", "system_reset");
}

static void a_guest_in_a_debugger_is_refused(void **state)
{
    assert_refused(*state, "debug", "debugger");
}

static void a_guest_that_is_replicated_is_refused(void **state)
{
    assert_refused(*state, "colo", "COLO");
}

static void a_guest_that_an_internal_snapshot_replaces_is_refused(void **state)
{
    assert_refused(*state, "restore-vm", "internal snapshot");
}

static void a_state_of_a_later_qemu_is_refused(void **state)
{
    assert_refused(*state, "levitating", "does not know");
}

/* QEMU would abort at "cont". */
static void a_guest_that_was_paused_in_its_sleep_is_refused(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.was_suspended = true;
    fixture->qemu.run_state = "paused";
    save_badly(fixture, UTIL_ERROR_FAILED, "paused while it was suspended");
    assert_false(log_has(fixture, " migrate "));
    assert_settings_are_back(fixture);
    assert_null(fixture->qemu.opaque);
    assert_files(fixture, "");
}

static void a_guest_that_falls_asleep_meanwhile_sleeps_on(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.falls_asleep = true;
    save_badly(fixture, UTIL_ERROR_FAILED, "system_wakeup");
    assert_true(log_has(fixture, "stop query-status cont"));
    assert_false(log_has(fixture, " migrate "));
    assert_settings_are_back(fixture);
}

/* Its own "stop" would have QEMU write down that it was paused. */
static void the_file_of_a_guest_that_ran_says_so(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *saved = NULL;

    save_well(fixture);
    saved = saved_run_state(fixture);
    assert_string_equal(saved, "running");
}

static void a_qemu_that_waits_for_a_guest_is_refused(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.run_state = "inmigrate";
    save_badly(fixture, UTIL_ERROR_FAILED, "no guest to save");
    assert_files(fixture, "");
}

static void a_guest_that_migrated_away_is_not_run_again(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.run_state = "postmigrate";
    save_badly(fixture, UTIL_ERROR_FAILED, "QMP cont");
    assert_false(log_has(fixture, "cont"));
    assert_files(fixture, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_paused_guest_is_saved_and_stays_paused),
        TEST(a_guest_that_has_not_run_yet_is_saved_so),
        TEST(a_guest_with_a_disk_error_is_saved_with_a_warning),
        TEST(a_guest_that_its_watchdog_stopped_is_saved_with_a_warning),
        TEST(a_guest_that_crashed_is_saved_with_a_warning),
        TEST(a_guest_that_sleeps_is_refused),
        TEST(a_guest_that_has_shut_down_is_refused),
        TEST(a_guest_that_needs_a_reset_is_refused),
        TEST(a_guest_in_a_debugger_is_refused),
        TEST(a_guest_that_is_replicated_is_refused),
        TEST(a_guest_that_an_internal_snapshot_replaces_is_refused),
        TEST(a_state_of_a_later_qemu_is_refused),
        TEST(a_guest_that_was_paused_in_its_sleep_is_refused),
        TEST(a_guest_that_falls_asleep_meanwhile_sleeps_on),
        TEST(the_file_of_a_guest_that_ran_says_so),
        TEST(a_qemu_that_waits_for_a_guest_is_refused),
        TEST(a_guest_that_migrated_away_is_not_run_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
