/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The disks of a guest that is saved.
 */
#include "tests/host/saver-world.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "formats/manifest.h"
#include "host/image-state.h"
#include "host/process-info.h"

/* ---- what QEMU's open files are: the linker's --wrap puts this in place ----
 */

static bool files_are_hidden;

GStrv __real_process_info_open_files(pid_t pid, GError **error);
GStrv __wrap_process_info_open_files(pid_t pid, GError **error);

GStrv __wrap_process_info_open_files(pid_t pid, GError **error)
{
    if (files_are_hidden) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_ACCES, "hidden");
        return NULL;
    }
    return __real_process_info_open_files(pid, error);
}

/* ---- saving ---- */

static void a_writable_disk_goes_on_in_an_overlay(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.writable_disk = true;
    save_well(fixture);
    assert_non_null(strstr(said->str, "disk0 goes on in /dev/null."));
    assert_true(log_has(fixture, "stop transaction migrate"));
}

static void a_writable_disk_may_be_left_to_the_user(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.writable_disk = true;
    fixture->disks = SAVE_DISKS_LEAVE;
    save_well(fixture);
    assert_non_null(strstr(said->str, "disk0 (/dev/null) is writable"));
    assert_false(log_has(fixture, "transaction"));
}

/* Of some formats it does so always. */
static void what_qemu_writes_when_it_migrates_belongs_to_the_disk(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *disk = g_build_filename(fixture->directory, "d", NULL);
    g_autofree char *path = manifest_path(fixture->output);

    assert_true(g_file_set_contents(disk, "", 0, NULL));
    fixture->qemu.writable_disk = true;
    fixture->qemu.disk_file = disk;
    fixture->qemu.writes_disk = true;
    fixture->disks = SAVE_DISKS_LEAVE;
    save_well(fixture);
    g_autoptr(Manifest) manifest = manifest_load(path, NULL);
    assert_non_null(manifest);
    assert_true(image_state_check(
        &g_array_index(manifest->disks, ManifestDisk, 0), NULL));
}

static void a_writable_disk_may_be_a_reason_to_refuse(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.writable_disk = true;
    fixture->disks = SAVE_DISKS_REFUSE;
    save_badly(fixture, UTIL_ERROR_FAILED, "disk0 (/dev/null) is writable");
    assert_false(log_has(fixture, "stop"));
}

/* The fake QEMU is this process. */
static void a_disk_that_qemu_alone_has_open_is_not_kept(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = g_build_filename(fixture->directory, "vl.1", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    fixture->qemu.writable_disk = true;
    fixture->qemu.disk_file = path;
    save_well(fixture);
    assert_non_null(strstr(said->str, "temporary file of QEMU"));
    assert_non_null(strstr(said->str,
                           "no manifest, so loadvm needs QEMU's arguments: "
                           "what is on the disk disk0 is not in the snapshot"));
    assert_false(log_has(fixture, "transaction"));
    close(fd);
}

static void a_disk_that_is_nowhere_to_be_found_is_no_temporary_one(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.writable_disk = true;
    fixture->qemu.disk_file = "/in-another/root/disk.qcow2";
    fixture->disks = SAVE_DISKS_REFUSE;
    save_badly(fixture, UTIL_ERROR_FAILED, "disk.qcow2) is writable");
    fixture->disks = SAVE_DISKS_LEAVE;
    save_well(fixture);
    assert_null(strstr(said->str, "temporary"));
}

static void a_disk_whose_name_a_daemon_has_left_is_told_as_that(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.writable_disk = true;
    fixture->qemu.disk_file = "left-behind.qcow2";
    save_badly(fixture, UTIL_ERROR_FAILED, "with -daemonize QEMU has left");
    assert_false(log_has(fixture, "stop"));
    fixture->disks = SAVE_DISKS_LEAVE;
    save_well(fixture);
}

/* It may be the guest's own in another root directory, or QEMU's temporary
 * one. */
static void
a_disk_of_which_nothing_is_to_be_found_out_is_a_reason_to_refuse(void **state)
{
    Fixture *fixture = *state;

    files_are_hidden = true;
    fixture->qemu.writable_disk = true;
    fixture->qemu.disk_file = "/in-another/root/disk.qcow2";
    save_badly(fixture, UTIL_ERROR_FAILED, "disk.qcow2) is not found");
    assert_false(log_has(fixture, "stop"));
    fixture->disks = SAVE_DISKS_LEAVE;
    save_well(fixture);
    assert_non_null(strstr(said->str, "disk.qcow2) is writable"));
    files_are_hidden = false;
}

static void a_failed_save_gives_the_disk_back(void **state)
{
    Fixture *fixture = *state;

    fixture->qemu.writable_disk = true;
    fixture->qemu.outcome = "failed";
    save_badly(fixture, UTIL_ERROR_FAILED, "disk full");
    assert_true(log_has(fixture, "block-commit"));
    assert_files(fixture, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_writable_disk_goes_on_in_an_overlay),
        TEST(a_writable_disk_may_be_left_to_the_user),
        TEST(what_qemu_writes_when_it_migrates_belongs_to_the_disk),
        TEST(a_writable_disk_may_be_a_reason_to_refuse),
        TEST(a_disk_that_qemu_alone_has_open_is_not_kept),
        TEST(a_disk_that_is_nowhere_to_be_found_is_no_temporary_one),
        TEST(a_disk_whose_name_a_daemon_has_left_is_told_as_that),
        TEST(a_disk_of_which_nothing_is_to_be_found_out_is_a_reason_to_refuse),
        TEST(a_failed_save_gives_the_disk_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
