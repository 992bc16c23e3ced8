/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Listing and removing of snapshots.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/ram-image.h"
#include "host/snapshot-list.h"
#include "host/snapshot-removal.h"
#include "tests/formats/image.h"
#include "tests/util/support.h"

#define FROZEN "d.img.261125-120000-123.qcow2"

typedef struct Fixture {
    char *directory;
    char *snapshot;
    char *frozen; /* an image that a save has made, and that the snapshot has */
} Fixture;

static char *path_of(const Fixture *fixture, const char *name)
{
    return g_build_filename(fixture->directory, name, NULL);
}

static void put(const Fixture *fixture, const char *name, const char *bytes,
                gssize len)
{
    g_autofree char *path = path_of(fixture, name);

    assert_true(g_file_set_contents(path, bytes, len, NULL));
}

static void put_image(const Fixture *fixture, const char *name)
{
    const Image image = image_small();
    g_autofree char *path = path_of(fixture, name);

    image_save(&image, path);
}

static char *identity_of(const char *path)
{
    g_autoptr(RamImage) image = ram_image_open(path, 0, NULL);

    assert_non_null(image);
    return g_strdup(image->identity);
}

static void add_disk(Manifest *manifest, const char *file)
{
    const ManifestDisk disk = {.node = g_strdup("n"),
                               .file = g_strdup(file),
                               .format = g_strdup("qcow2"),
                               .handling = MANIFEST_DISK_OVERLAY};

    g_array_append_val(manifest->disks, disk);
}

/* Beside the snapshot of that name, with one disk. */
static void put_manifest(const Fixture *fixture, const char *name,
                         const char *disk, const char *order)
{
    g_autofree char *snapshot = path_of(fixture, name);
    g_autofree char *path = manifest_path(snapshot);
    g_autoptr(Manifest) manifest = manifest_new();
    char *none[] = {NULL};
    GError *error = NULL;

    manifest->created = g_strdup("2026-11-25T13:02:41Z");
    manifest->identity = identity_of(snapshot);
    manifest->order = g_strdup(order);
    manifest->run_state = g_strdup("running");
    manifest->qemu_program = g_strdup("/usr/bin/qemu");
    manifest->qemu_version = g_strdup("10.0.2");
    manifest->qemu_directory = g_strdup("/");
    manifest->qemu_arguments = g_strdupv(none);
    manifest->machine_type = g_strdup("pc");
    manifest->accelerator = g_strdup("tcg");
    manifest->cpu_model = g_strdup("max");
    add_disk(manifest, disk);
    manifest_save(manifest, path, &error);
    assert_no_error(error);
}

/* A qcow2 image on another one. */
static void put_overlay(const Fixture *fixture, const char *name,
                        const char *backing)
{
    char bytes[512] = "QFI\xfb";

    bytes[7] = 3;
    bytes[15] = 32;
    bytes[19] = (char)strlen(backing);
    memcpy(&bytes[32], backing, strlen(backing));
    put(fixture, name, bytes, sizeof(bytes));
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->directory = make_directory();
    fixture->snapshot = path_of(fixture, "vm.snap");
    fixture->frozen = path_of(fixture, FROZEN);
    put_image(fixture, "vm.snap");
    put(fixture, "vm.snap.order", "x", 1);
    put_overlay(fixture, FROZEN, "d.img");
    put_manifest(fixture, "vm.snap", fixture->frozen, "vm.snap.order");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    g_free(fixture->snapshot);
    g_free(fixture->frozen);
    remove_directory(fixture->directory);
    g_free(fixture);
    return 0;
}

static void assert_left(const Fixture *fixture, const char *expected)
{
    g_autofree char *names = list_directory(fixture->directory);

    assert_string_equal(names, expected);
}

static SnapshotRemoval *plan(const Fixture *fixture, bool with_images)
{
    GError *error = NULL;
    SnapshotRemoval *removal =
        snapshot_removal_new(fixture->snapshot, with_images, &error);

    assert_no_error(error);
    return removal;
}

static void execute(const SnapshotRemoval *removal)
{
    GError *error = NULL;

    snapshot_removal_execute(removal, &error);
    assert_no_error(error);
}

/* Removed with its images, of which one is kept for that reason. */
static void assert_image_kept(const Fixture *fixture, const char *reason)
{
    g_autoptr(SnapshotRemoval) removal = plan(fixture, true);
    const KeptFile *kept = &g_array_index(removal->kept, KeptFile, 0);

    assert_int_equal(removal->kept->len, 1);
    assert_string_equal(kept->path, fixture->frozen);
    if (!strstr(kept->reason, reason)) {
        fail_msg("kept for \"%s\", not \"%s\"", kept->reason, reason);
    }
    execute(removal);
    assert_true(g_file_test(fixture->frozen, G_FILE_TEST_EXISTS));
    assert_false(g_file_test(fixture->snapshot, G_FILE_TEST_EXISTS));
}

/* ---- removing ---- */

static void a_snapshot_goes_with_order_and_manifest(void **state)
{
    const Fixture *fixture = *state;
    g_autoptr(SnapshotRemoval) removal = plan(fixture, false);

    execute(removal);
    assert_left(fixture, FROZEN);
    assert_non_null(strstr(g_array_index(removal->kept, KeptFile, 0).reason,
                           "use --images to remove it"));
}

/* It has the guest's memory. */
static void an_orders_pack_goes_with_it(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *order = path_of(fixture, "vm.snap.order");

    put(fixture, "vm.snap.order.pack", "x", 1);
    assert_int_equal(unlink(order), 0);
    g_autoptr(SnapshotRemoval) removal = plan(fixture, true);
    execute(removal);
    assert_left(fixture, "");
}

static void an_image_that_nothing_needs_goes_if_asked_for(void **state)
{
    const Fixture *fixture = *state;
    g_autoptr(SnapshotRemoval) removal = plan(fixture, true);

    execute(removal);
    assert_left(fixture, "");
}

static void nothing_is_removed_before_it_is_to_be(void **state)
{
    const Fixture *fixture = *state;
    g_autoptr(SnapshotRemoval) removal = plan(fixture, true);

    assert_int_equal(removal->files->len, 4);
    assert_true(g_file_test(fixture->snapshot, G_FILE_TEST_EXISTS));
    assert_true(g_file_test(fixture->frozen, G_FILE_TEST_EXISTS));
}

static void an_image_below_another_one_stays(void **state)
{
    const Fixture *fixture = *state;

    put_overlay(fixture, "running.qcow2", FROZEN);
    assert_image_kept(fixture, "running.qcow2 is based on it");
}

static void an_image_below_another_one_is_known_by_any_name(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *alias = path_of(fixture, "alias");

    assert_int_equal(symlink(FROZEN, alias), 0);
    put_overlay(fixture, "running.qcow2", "alias");
    assert_image_kept(fixture, "running.qcow2 is based on it");
}

static void an_image_that_may_lie_on_it_counts(void **state)
{
    const Fixture *fixture = *state;

    put_overlay(fixture, "odd.qcow2", "json:{\"driver\": \"odd\"}");
    assert_image_kept(fixture, "may be based on it");
}

static void an_image_of_another_snapshot_stays(void **state)
{
    const Fixture *fixture = *state;

    put_image(fixture, "other.snap");
    put_manifest(fixture, "other.snap", fixture->frozen, NULL);
    assert_image_kept(fixture, "other.snap.json needs it");
}

static void an_image_that_somebody_has_open_stays(void **state)
{
    const Fixture *fixture = *state;
    struct flock lock = {.l_type = F_RDLCK, .l_start = 100, .l_len = 1};
    int fd = open(fixture->frozen, O_RDONLY);

    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    assert_image_kept(fixture, "has it open");
    close(fd);
}

static void an_image_that_the_user_began_with_stays(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *disk = path_of(fixture, "d.img");

    put(fixture, "d.img", "x", 1);
    put_manifest(fixture, "vm.snap", disk, "vm.snap.order");
    g_autoptr(SnapshotRemoval) removal = plan(fixture, true);
    execute(removal);
    assert_left(fixture, "d.img " FROZEN);
}

static void an_order_of_another_snapshot_stays(void **state)
{
    const Fixture *fixture = *state;

    put_image(fixture, "other.snap");
    put_manifest(fixture, "other.snap", "/nowhere", "vm.snap.order");
    g_autoptr(SnapshotRemoval) removal = plan(fixture, false);
    execute(removal);
    assert_left(fixture, FROZEN " other.snap other.snap.json vm.snap.order");
}

static void what_is_no_snapshot_is_not_removed(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *path = path_of(fixture, "letter");
    GError *error = NULL;

    put(fixture, "letter", "dear", -1);
    assert_null(snapshot_removal_new(path, true, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "not a snapshot");
    error = NULL;
    put(fixture, "vm.snap.json", "{", -1);
    assert_null(snapshot_removal_new(fixture->snapshot, true, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "cannot be determined");
}

static void what_an_earlier_removal_has_left_is_removed(void **state)
{
    const Fixture *fixture = *state;

    assert_int_equal(unlink(fixture->snapshot), 0);
    g_autoptr(SnapshotRemoval) removal = plan(fixture, true);
    execute(removal);
    assert_left(fixture, "");
}

/* ---- listing ---- */

static void snapshots_are_listed_by_name_and_nothing_else_is(void **state)
{
    const Fixture *fixture = *state;
    g_autoptr(GPtrArray) list = NULL;
    GError *error = NULL;

    put_image(fixture, "a.snap");
    put(fixture, "letter.json", "{}", 2);
    list = snapshot_list(fixture->directory, &error);
    assert_no_error(error);
    assert_int_equal(list->len, 2);
    const ListedSnapshot *plain = list->pdata[0];
    const ListedSnapshot *whole = list->pdata[1];
    assert_string_equal(plain->name, "a.snap");
    assert_null(plain->manifest);
    assert_string_equal(whole->name, "vm.snap");
    assert_non_null(whole->image);
    assert_int_equal(whole->manifest->disks->len, 1);
    assert_null(whole->problem);
}

static void what_is_wrong_with_one_is_told(void **state)
{
    const Fixture *fixture = *state;

    assert_int_equal(unlink(fixture->snapshot), 0);
    g_autoptr(GPtrArray) list = snapshot_list(fixture->directory, NULL);
    assert_int_equal(list->len, 1);
    const ListedSnapshot *snapshot = list->pdata[0];
    assert_string_equal(snapshot->problem, "the RAM image is missing");
}

static void a_missing_folder_is_an_error(void **state)
{
    GError *error = NULL;

    assert_null(snapshot_list("/nowhere", &error));
    assert_non_null(strstr(error->message, "/nowhere"));
    g_error_free(error);
}

#define SNAPSHOT_TEST(name)                                                    \
    cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SNAPSHOT_TEST(a_snapshot_goes_with_order_and_manifest),
        SNAPSHOT_TEST(an_orders_pack_goes_with_it),
        SNAPSHOT_TEST(an_image_that_nothing_needs_goes_if_asked_for),
        SNAPSHOT_TEST(nothing_is_removed_before_it_is_to_be),
        SNAPSHOT_TEST(an_image_below_another_one_stays),
        SNAPSHOT_TEST(an_image_below_another_one_is_known_by_any_name),
        SNAPSHOT_TEST(an_image_that_may_lie_on_it_counts),
        SNAPSHOT_TEST(an_image_of_another_snapshot_stays),
        SNAPSHOT_TEST(an_image_that_somebody_has_open_stays),
        SNAPSHOT_TEST(an_image_that_the_user_began_with_stays),
        SNAPSHOT_TEST(an_order_of_another_snapshot_stays),
        SNAPSHOT_TEST(what_is_no_snapshot_is_not_removed),
        SNAPSHOT_TEST(what_an_earlier_removal_has_left_is_removed),
        SNAPSHOT_TEST(snapshots_are_listed_by_name_and_nothing_else_is),
        SNAPSHOT_TEST(what_is_wrong_with_one_is_told),
        cmocka_unit_test(a_missing_folder_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
