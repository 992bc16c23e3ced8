/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a save leaves behind that was killed.
 */
#include "tests/host/saver-world.h"

#include <string.h>

/* Also where it saved to another file. */
static void a_guest_stopped_by_a_save_that_was_killed_is_saved(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture, true);
    fixture->qemu.run_state = "postmigrate";
    save_well(fixture);
    assert_non_null(strstr(said->str, "an earlier save was not finished"));
    assert_settings_are_back(fixture);
    assert_string_equal(fixture->qemu.run_state, "running");
    /* The old mark goes when ours is there. */
    assert_true(log_has(fixture, "add-fd remove-fd migrate-set"));
    assert_null(fixture->qemu.opaque);
    assert_files(fixture, "vm.snap vm.snap.json");
}

static void
a_guest_stopped_by_a_save_that_saved_nothing_runs_again(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture, true);
    fixture->qemu.run_state = "paused";
    save_well(fixture);
    assert_non_null(strstr(said->str, "an earlier save was not finished"));
    assert_settings_are_back(fixture);
    assert_string_equal(fixture->qemu.run_state, "running");
}

static void a_guest_paused_before_a_save_was_killed_stays_paused(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture, false);
    fixture->qemu.run_state = "paused";
    save_well(fixture);
    assert_false(log_has(fixture, "cont"));
    assert_settings_are_back(fixture);
}

static void a_guest_paused_and_saved_by_a_killed_save_is_not_run(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture, false);
    fixture->qemu.run_state = "postmigrate";
    save_badly(fixture, UTIL_ERROR_FAILED, "QMP cont");
    assert_false(log_has(fixture, "cont"));
}

/* It may have migrated away since. */
static void
a_guest_is_not_run_when_the_settings_have_changed_since(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture, true);
    fixture->qemu.mapped_ram = false;
    fixture->qemu.run_state = "postmigrate";
    save_badly(fixture, UTIL_ERROR_FAILED, "QMP cont");
    assert_false(log_has(fixture, "cont"));
}

/* Also where mapped-ram is on since QEMU itself loaded the guest. */
static void a_guest_paused_without_a_mark_stays_paused(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap.preheat-tmp");
    fixture->qemu.mapped_ram = true;
    fixture->qemu.run_state = "paused";
    save_well(fixture);
    assert_false(log_has(fixture, "cont"));
    assert_true(fixture->qemu.mapped_ram);
}

static void settings_that_a_killed_save_left_are_not_taken_over(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture, true);
    save_well(fixture);
    assert_settings_are_back(fixture);
    assert_string_equal(said->str, "");
}

static void what_a_killed_save_left_stays_for_the_next_one(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture, false);
    fixture->qemu.run_state = "shutdown";
    save_badly(fixture, UTIL_ERROR_FAILED, "has shut down");
    assert_non_null(fixture->qemu.opaque);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_stopped_by_a_save_that_was_killed_is_saved),
        TEST(a_guest_stopped_by_a_save_that_saved_nothing_runs_again),
        TEST(a_guest_paused_before_a_save_was_killed_stays_paused),
        TEST(a_guest_paused_and_saved_by_a_killed_save_is_not_run),
        TEST(a_guest_is_not_run_when_the_settings_have_changed_since),
        TEST(a_guest_paused_without_a_mark_stays_paused),
        TEST(settings_that_a_killed_save_left_are_not_taken_over),
        TEST(what_a_killed_save_left_stays_for_the_next_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
