/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/host/saver-world.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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
    assert_string_equal(fixture->qemu.run_state, "running");
    assert_files(fixture, "vm.snap vm.snap.json");
    assert_settings_are_back(fixture);
    assert_true(result.stored_bytes > 0);
    assert_string_equal(said->str, "");
}

static void a_machine_that_cannot_tell_its_copies_is_named_once(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.lacks_vmgenid = true;
    save_well(fixture);
    const char *named = strstr(said->str, "vmgenid");
    assert_non_null(named);
    assert_null(strstr(named + 1, "vmgenid"));
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

static void nothing_is_left_in_qemu(void **state)
{
    Fixture *fixture = *state;

    save_well(fixture);
    assert_int_equal(fixture->qemu.n_fds, 1);
    assert_null(fixture->qemu.opaque);
}

static void a_socket_that_passes_no_descriptors_is_told_of(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.takes_no_fd = true;
    save_badly(fixture, UTIL_ERROR_REFUSED, "not a relay's");
    assert_false(log_has(fixture, "stop"));
    assert_files(fixture, "");
}

static void progress_is_shown_and_taken_away(void **state)
{
    Fixture *fixture = *state;

    save_well(fixture);
    assert_true(
        g_str_has_suffix(fixture->progress->str, "saving 50/100, over, "));
}

static void a_guest_whose_migration_is_not_final_yet_is_waited_for(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.finalize_polls_left = 3;
    save_well(fixture);
    assert_string_equal(fixture->qemu.run_state, "running");
}

static void a_migration_under_way_is_waited_for(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture, true);
    fixture->qemu.migration = "active";
    fixture->qemu.polls_left = 2;
    save_well(fixture);
    assert_true(log_has(fixture, "query-migrate query-migrate query-migrate "
                                 "query-status query-status query-version"));
}

static void a_failed_save_leaves_the_guest_running_and_no_file(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap");
    fixture->qemu.outcome = "failed";
    save_badly(fixture, UTIL_ERROR_FAILED, "disk full");
    assert_string_equal(fixture->qemu.run_state, "running");
    assert_settings_are_back(fixture);
    assert_null(fixture->qemu.opaque);
    assert_old_file_is_untouched(fixture);
}

static void an_interrupted_save_is_cancelled_and_the_guest_runs_on(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap");
    fixture->qemu.interrupt_on_poll = fixture->interrupt_fd;
    save_badly(fixture, UTIL_ERROR_INTERRUPTED, "interrupted");
    assert_true(log_has(fixture, "migrate_cancel query-migrate"));
    assert_string_equal(fixture->qemu.run_state, "running");
    assert_settings_are_back(fixture);
    assert_null(fixture->qemu.opaque);
    assert_old_file_is_untouched(fixture);
}

/* Does not answer this command any more, and is interrupted twice. */
static void save_blocked(Fixture *fixture, const char *command,
                         const char *text)
{
    GMutex blocked;

    g_mutex_init(&blocked);
    g_mutex_lock(&blocked);
    fixture->qemu.interrupted = command;
    fixture->qemu.n_interrupts = 2;
    fixture->qemu.blocked = &blocked;
    save_badly(fixture, UTIL_ERROR_INTERRUPTED, text);
    g_mutex_unlock(&blocked);
    g_clear_pointer(&fixture->machine, machine_free);
    g_clear_pointer(&fixture->peer, fake_peer_free);
    g_mutex_clear(&blocked);
}

/* One whose vCPU waits for a disk, say. */
static void a_qemu_that_does_not_stop_is_given_up_at_the_second(void **state)
{
    Fixture *fixture = *state;

    save_blocked(fixture, "stop",
                 "QEMU does not answer: if the guest stays stopped, resume it "
                 "with QMP cont");
    assert_non_null(strstr(said->str, "a second signal does not wait"));
    assert_files(fixture, "");
    /* For the next save. */
    assert_non_null(fixture->qemu.opaque);
}

static void a_qemu_that_does_not_go_on_is_given_up_at_the_second(void **state)
{
    Fixture *fixture = *state;

    save_blocked(fixture, "cont",
                 "the snapshot is complete and in place, but: QEMU does not "
                 "answer");
    assert_files(fixture, "vm.snap vm.snap.json");
}

static void a_signal_after_saving_does_not_hurt_the_guest(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.interrupted = "remove-fd";
    fixture->qemu.n_interrupts = 1;
    save_well(fixture);
    assert_string_equal(fixture->qemu.run_state, "running");
    assert_files(fixture, "vm.snap vm.snap.json");
}

/* In the moment before our own. */
static void the_guest_runs_on_when_somebody_elses_migration_begins(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.overtaken = "paused";
    save_badly(fixture, UTIL_ERROR_REFUSED, "migration process in progress");
    assert_true(log_has(fixture, "migrate query-status cont query-migrate"));
    assert_settings_are_back(fixture);
    assert_files(fixture, "");
}

static void a_guest_that_migrates_away_meanwhile_is_not_run_here(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.overtaken = "postmigrate";
    save_badly(fixture, UTIL_ERROR_REFUSED, "migration process in progress");
    assert_false(log_has(fixture, "cont"));
    assert_settings_are_back(fixture);
}

static int lock_this_process(void)
{
    int fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    return fd;
}

/* It reads and sets settings that the other one has set for its own time. */
static void two_saves_of_one_qemu_are_one_after_the_other(void **state)
{
    Fixture *fixture = *state;
    /* The fake QEMU is in this process. */
    int other = lock_this_process();

    eventfd_write(fixture->interrupt_fd, 1);
    save_badly(fixture, UTIL_ERROR_INTERRUPTED, "interrupted");
    assert_false(log_has(fixture, "query-migrate"));
    assert_true(g_str_has_prefix(fixture->progress->str, "waiting"));
    close(other);
}

static void the_lock_is_released(void **state)
{
    Fixture *fixture = *state;

    save_well(fixture);
    close(lock_this_process());
}

static void a_qemu_that_ends_meanwhile_leaves_no_file(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap");
    fixture->qemu.hangs_up_on_poll = true;
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

    fixture->qemu.ends_on_poll = true;
    fixture->qemu.polls_left = INT_MAX;
    end = g_thread_new("end", end_after_poll, fixture->peer);
    save_badly(fixture, UTIL_ERROR_CLOSED, "QEMU");
    g_thread_join(end);
    /* Its thread takes in what it was told before it sees the end. */
    g_clear_pointer(&fixture->machine, machine_free);
    g_clear_pointer(&fixture->peer, fake_peer_free);
    assert_false(fixture->qemu.told_late);
    assert_files(fixture, "");
}

static void what_cannot_be_read_again_replaces_no_snapshot(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;
    g_autoptr(GError) error = NULL;

    put_old_file(fixture, "vm.snap");
    fixture->qemu.writes_garbage = true;
    assert_false(save(fixture, &result, &error));
    assert_non_null(strstr(error->message, "cannot read back"));
    assert_string_equal(fixture->qemu.run_state, "running");
    assert_old_file_is_untouched(fixture);
}

static void a_qemu_without_mapped_ram_is_refused_before_the_stop(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.has_mapped_ram = false;
    save_badly(fixture, UTIL_ERROR_FAILED, "9.0 or later");
    assert_false(log_has(fixture, "stop"));
    assert_files(fixture, "");
}

static void a_directory_that_is_missing_fails_before_the_stop(void **state)
{
    Fixture *fixture = *state;

    g_free(fixture->output);
    fixture->output =
        g_build_filename(fixture->directory, "none", "vm.snap", NULL);
    save_badly(fixture, UTIL_ERROR_FAILED,
               "none/vm.snap: cannot open its directory");
    assert_false(log_has(fixture, "stop"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_running_guest_is_stopped_saved_and_runs_on),
        TEST(a_machine_that_cannot_tell_its_copies_is_named_once),
        TEST(a_guest_that_runs_again_hears_no_more),
        TEST(the_snapshot_is_for_its_owner_only),
        TEST(nothing_is_left_in_qemu),
        TEST(a_socket_that_passes_no_descriptors_is_told_of),
        TEST(progress_is_shown_and_taken_away),
        TEST(a_guest_whose_migration_is_not_final_yet_is_waited_for),
        TEST(a_migration_under_way_is_waited_for),
        TEST(a_failed_save_leaves_the_guest_running_and_no_file),
        TEST(an_interrupted_save_is_cancelled_and_the_guest_runs_on),
        TEST(a_qemu_that_does_not_stop_is_given_up_at_the_second),
        TEST(a_qemu_that_does_not_go_on_is_given_up_at_the_second),
        TEST(a_signal_after_saving_does_not_hurt_the_guest),
        TEST(the_guest_runs_on_when_somebody_elses_migration_begins),
        TEST(a_guest_that_migrates_away_meanwhile_is_not_run_here),
        TEST(two_saves_of_one_qemu_are_one_after_the_other),
        TEST(the_lock_is_released),
        TEST(a_qemu_that_ends_meanwhile_leaves_no_file),
        TEST(a_qemu_that_says_that_it_ends_hears_no_more),
        TEST(what_cannot_be_read_again_replaces_no_snapshot),
        TEST(a_qemu_without_mapped_ram_is_refused_before_the_stop),
        TEST(a_directory_that_is_missing_fails_before_the_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
