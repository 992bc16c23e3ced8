/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/host/saver-world.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static void put_what_a_killed_save_leaves(Fixture *fixture)
{
    put_old_file(fixture, "vm.snap.preheat-tmp");
    fixture->machine.mapped_ram = true;
    fixture->machine.max_bandwidth = 0;
}

static void assert_old_file_is_untouched(Fixture *fixture)
{
    g_autofree char *text = NULL;

    assert_files(fixture, "vm.snap");
    assert_true(g_file_get_contents(fixture->output, &text, NULL, NULL));
    assert_string_equal(text, "old");
}

static void a_running_guest_is_stopped_saved_and_runs_on(void **state)
{
    Fixture *fixture = *state;
    SaveResult result = save_well(fixture);

    assert_true(log_has(fixture, "stop migrate query-migrate"));
    assert_string_equal(fixture->machine.run_state, "running");
    assert_files(fixture, "vm.snap");
    assert_settings_are_back(fixture);
    assert_true(result.stored_bytes > 0);
    assert_string_equal(said->str, "");
}

/* It may end as soon as it runs: see run_on() in host/saver.c. */
static void a_guest_that_runs_again_hears_no_more(void **state)
{
    Fixture *fixture = *state;

    save_well(fixture);
    assert_last_command(fixture, " cont");
}

static void the_snapshot_is_for_its_owner_only(void **state)
{
    Fixture *fixture = *state;
    struct stat status;

    save_well(fixture);
    assert_int_equal(stat(fixture->output, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void a_paused_guest_is_saved_and_stays_paused(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    fixture->machine.run_state = "paused";
    result = save_well(fixture);
    assert_false(log_has(fixture, "stop"));
    assert_false(log_has(fixture, "cont"));
    assert_int_equal(result.stopped_us, 0);
    assert_files(fixture, "vm.snap");
}

static void a_guest_whose_migration_is_not_final_yet_is_waited_for(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.finalize_polls_left = 3;
    save_well(fixture);
    assert_string_equal(fixture->machine.run_state, "running");
}

static void a_migration_under_way_is_waited_for(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.migration = "active";
    fixture->machine.polls_left = 2;
    fixture->machine.outcome = "completed";
    fixture->machine.run_state = "running";
    put_old_file(fixture, "vm.snap.preheat-tmp");
    save_well(fixture);
    assert_true(log_has(fixture, "query-migrate query-migrate query-migrate "
                                 "query-status query-status query-block"));
}

static void a_failed_save_leaves_the_guest_running_and_no_file(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap");
    fixture->machine.outcome = "failed";
    save_badly(fixture, UTIL_ERROR_FAILED, "disk full");
    assert_string_equal(fixture->machine.run_state, "running");
    assert_settings_are_back(fixture);
    assert_old_file_is_untouched(fixture);
}

static void an_interrupted_save_is_cancelled_and_the_guest_runs_on(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap");
    fixture->machine.interrupt_on_poll = fixture->interrupt_fd;
    save_badly(fixture, UTIL_ERROR_INTERRUPTED, "interrupted");
    assert_true(log_has(fixture, "migrate_cancel query-migrate"));
    assert_string_equal(fixture->machine.run_state, "running");
    assert_settings_are_back(fixture);
    assert_old_file_is_untouched(fixture);
}

static void a_qemu_that_ends_meanwhile_leaves_no_file(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap");
    fixture->machine.hangs_up_on_poll = true;
    save_badly(fixture, UTIL_ERROR_CLOSED, "QEMU");
    assert_old_file_is_untouched(fixture);
}

/* When our poll has been answered: another event, and the end.  A
 * GThreadFunc. */
static void *end_after_poll(void *opaque)
{
    FakePeer *peer = opaque;

    fake_peer_await(peer, "query-migrate", 2);
    fake_peer_event(peer, "MIGRATION", NULL);
    fake_peer_close_output(peer);
    return NULL;
}

/* It could crash: see pump() in host/saver.c. */
static void a_qemu_that_says_that_it_ends_hears_no_more(void **state)
{
    Fixture *fixture = *state;
    GThread *end;

    fixture->machine.ends_on_poll = true;
    fixture->machine.polls_left = INT_MAX;
    end = g_thread_new("end", end_after_poll, fixture->peer);
    save_badly(fixture, UTIL_ERROR_CLOSED, "QEMU");
    g_thread_join(end);
    /* Its thread takes in what it was told before it sees the end. */
    g_clear_pointer(&fixture->qmp, rpc_free);
    g_clear_pointer(&fixture->peer, fake_peer_free);
    assert_false(fixture->machine.told_late);
    assert_files(fixture, "");
}

static void what_cannot_be_read_again_replaces_no_snapshot(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;
    g_autoptr(GError) error = NULL;

    put_old_file(fixture, "vm.snap");
    fixture->machine.writes_garbage = true;
    assert_false(save(fixture, &result, &error));
    assert_non_null(strstr(error->message, "cannot be read again"));
    assert_string_equal(fixture->machine.run_state, "running");
    assert_old_file_is_untouched(fixture);
}

static void a_qemu_without_mapped_ram_is_refused_before_the_stop(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.has_mapped_ram = false;
    save_badly(fixture, UTIL_ERROR_FAILED, "9.0 or later");
    assert_false(log_has(fixture, "stop"));
    assert_files(fixture, "");
}

static void a_qemu_that_waits_for_a_guest_is_refused(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.run_state = "inmigrate";
    save_badly(fixture, UTIL_ERROR_FAILED, "no guest to save");
    assert_files(fixture, "");
}

static void a_guest_that_migrated_away_is_not_run_again(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.run_state = "postmigrate";
    save_badly(fixture, UTIL_ERROR_FAILED, "QMP cont");
    assert_false(log_has(fixture, "cont"));
    assert_files(fixture, "");
}

static void a_guest_stopped_by_a_save_that_was_killed_is_saved(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture);
    fixture->machine.run_state = "postmigrate";
    save_well(fixture);
    assert_non_null(strstr(said->str, "cut short"));
    assert_settings_are_back(fixture);
    assert_string_equal(fixture->machine.run_state, "running");
    assert_files(fixture, "vm.snap");
}

static void
a_guest_stopped_by_a_save_that_saved_nothing_runs_again(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture);
    fixture->machine.run_state = "paused";
    save_well(fixture);
    assert_non_null(strstr(said->str, "cut short"));
    assert_settings_are_back(fixture);
    assert_string_equal(fixture->machine.run_state, "running");
}

/* Also where mapped-ram is on since QEMU itself loaded the guest. */
static void a_guest_paused_after_a_save_was_killed_stays_paused(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap.preheat-tmp");
    fixture->machine.mapped_ram = true;
    fixture->machine.run_state = "paused";
    save_well(fixture);
    assert_false(log_has(fixture, "cont"));
    assert_string_equal(said->str, "");
}

static void settings_that_a_killed_save_left_are_not_taken_over(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture);
    save_well(fixture);
    assert_settings_are_back(fixture);
    assert_string_equal(said->str, "");
}

static void a_writable_disk_is_spoken_of(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.writable_disk = true;
    save_well(fixture);
    assert_non_null(strstr(said->str, "disk0 (disk.qcow2) is writable"));
}

static void a_directory_that_is_missing_fails_before_the_stop(void **state)
{
    Fixture *fixture = *state;

    g_free(fixture->output);
    fixture->output =
        g_build_filename(fixture->directory, "none", "vm.snap", NULL);
    save_badly(fixture, UTIL_ERROR_FAILED, "none/vm.snap.preheat-tmp");
    assert_false(log_has(fixture, "stop"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_running_guest_is_stopped_saved_and_runs_on),
        TEST(a_guest_that_runs_again_hears_no_more),
        TEST(the_snapshot_is_for_its_owner_only),
        TEST(a_paused_guest_is_saved_and_stays_paused),
        TEST(a_guest_whose_migration_is_not_final_yet_is_waited_for),
        TEST(a_migration_under_way_is_waited_for),
        TEST(a_failed_save_leaves_the_guest_running_and_no_file),
        TEST(an_interrupted_save_is_cancelled_and_the_guest_runs_on),
        TEST(a_qemu_that_ends_meanwhile_leaves_no_file),
        TEST(a_qemu_that_says_that_it_ends_hears_no_more),
        TEST(what_cannot_be_read_again_replaces_no_snapshot),
        TEST(a_qemu_without_mapped_ram_is_refused_before_the_stop),
        TEST(a_qemu_that_waits_for_a_guest_is_refused),
        TEST(a_guest_that_migrated_away_is_not_run_again),
        TEST(a_guest_stopped_by_a_save_that_was_killed_is_saved),
        TEST(a_guest_stopped_by_a_save_that_saved_nothing_runs_again),
        TEST(a_guest_paused_after_a_save_was_killed_stays_paused),
        TEST(settings_that_a_killed_save_left_are_not_taken_over),
        TEST(a_writable_disk_is_spoken_of),
        TEST(a_directory_that_is_missing_fails_before_the_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
