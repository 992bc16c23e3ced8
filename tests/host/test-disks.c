/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "host/disks.h"
#include "host/qmp.h"
#include "tests/host/fake-peer.h"
#include "tests/util/support.h"

#define DISK(device, file, node, ro, below)                                    \
    "{\"device\": \"" device "\", \"qdev\": \"/machine/" node "\", "           \
    "\"inserted\": {\"node-name\": \"" node "\", \"file\": \"" file "\", "     \
    "\"drv\": \"qcow2\", \"ro\": " ro ", \"image\": {\"filename\": \"" file    \
    "\"" below "}}}"

/* A QEMU whose answers are these. */
typedef struct World {
    const char *blocks;
    const char *committed; /* blocks once a commit is complete; NULL: same */
    const char *refused;   /* the command that fails; NULL: none */
    const char *job_error; /* of every job; NULL: all go well */
    json_t *actions;       /* of the last transaction */
    bool completed;        /* job-complete has come */
    bool dismisses;        /* a job that has ended is not known any more */
    FakePeer *peer;
    Rpc *qmp;
} World;

static json_t *job(const World *world)
{
    if (world->dismisses && (world->completed || world->job_error)) {
        return json_array();
    }
    json_t *job = json_pack("{s:s, s:s}", "id", "preheat-t-0", "status",
                            world->completed ? "concluded" : "ready");

    if (world->job_error) {
        json_object_set_new(job, "error", json_string(world->job_error));
    }
    return json_pack("[o]", job);
}

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    World *world = opaque;

    if (g_strcmp0(command, world->refused) == 0) {
        *ret_refusal = "no room";
        return NULL;
    }
    if (strcmp(command, "query-block") == 0) {
        return json_loads(world->completed && world->committed
                              ? world->committed
                              : world->blocks,
                          0, NULL);
    }
    if (strcmp(command, "query-jobs") == 0) {
        return job(world);
    }
    if (strcmp(command, "transaction") == 0) {
        json_decref(world->actions);
        world->actions = json_deep_copy(json_object_get(arguments, "actions"));
    }
    if (strcmp(command, "block-commit") == 0) {
        world->dismisses =
            !json_is_false(json_object_get(arguments, "auto-dismiss"));
    }
    world->completed = world->completed || strcmp(command, "job-complete") == 0;
    return json_object();
}

static World *world_new(const char *blocks)
{
    World *world = g_new0(World, 1);

    world->blocks = blocks;
    world->qmp = fake_peer_connect_qmp(answer, world, &world->peer);
    return world;
}

static void world_free(World *world)
{
    rpc_free(world->qmp);
    fake_peer_free(world->peer);
    json_decref(world->actions);
    g_free(world);
}

static GArray *query(World *world)
{
    GError *error = NULL;
    GArray *disks = disks_query(world->qmp, "/home/me", &error);

    assert_no_error(error);
    return disks;
}

static const char three_disks[] = "[" DISK(
    "d0", "disks/a.qcow2", "n0", "false",
    ", \"backing-image\": {\"filename\": "
    "\"/base.qcow2\"}") ", " DISK("", "/b.qcow2", "n1", "false",
                                  "") ", " DISK("cd",
                                                "/c."
                                                "iso",
                                                "n2", "true",
                                                "") ","
                                                    " "
                                                    "{"
                                                    "\"device\": \"floppy0\"}]";

static void every_disk_with_a_medium_is_found(void **state)
{
    World *world = world_new(three_disks);
    g_autoptr(GArray) disks = query(world);
    const Disk *first = &g_array_index(disks, Disk, 0);
    const Disk *second = &g_array_index(disks, Disk, 1);

    assert_int_equal(disks->len, 3);
    assert_string_equal(disk_name(first), "d0");
    assert_string_equal(first->file, "/home/me/disks/a.qcow2");
    assert_string_equal(first->chain[0], "/home/me/disks/a.qcow2");
    assert_string_equal(first->chain[1], "/base.qcow2");
    assert_null(first->chain[2]);
    assert_string_equal(disk_name(second), "/machine/n1");
    assert_true(disk_is_writable(second));
    assert_false(disk_is_writable(&g_array_index(disks, Disk, 2)));
    world_free(world);
}

static void all_writable_disks_get_overlays_in_one_transaction(void **state)
{
    World *world = world_new(three_disks);
    g_autoptr(GArray) disks = query(world);
    GError *error = NULL;

    disks_add_overlays(world->qmp, disks, "t", &error);
    assert_no_error(error);
    assert_int_equal(json_array_size(world->actions), 2);
    const json_t *data =
        json_object_get(json_array_get(world->actions, 0), "data");
    assert_string_equal(
        json_string_value(json_object_get(data, "snapshot-file")),
        "/home/me/disks/a.qcow2.t.qcow2");
    assert_string_equal(json_string_value(json_object_get(data, "node-name")),
                        "n0");
    assert_null(g_array_index(disks, Disk, 2).overlay);
    world_free(world);
}

/* QEMU makes it for everybody. */
static void an_overlay_can_be_read_by_no_more_than_its_image(void **state)
{
    g_autofree char *directory = g_dir_make_tmp("preheat-XXXXXX", NULL);
    g_autofree char *image = g_build_filename(directory, "a.qcow2", NULL);
    g_autofree char *overlay =
        g_build_filename(directory, "a.qcow2.t.qcow2", NULL);
    g_autofree char *blocks =
        g_strdup_printf("[" DISK("d0", "%1$s", "n0", "false", "") "]", image);
    World *world = world_new(blocks);
    g_autoptr(GArray) disks = query(world);
    struct stat st;

    assert_true(g_file_set_contents(image, "", 0, NULL));
    assert_true(g_file_set_contents(overlay, "", 0, NULL));
    assert_int_equal(chmod(image, 0600), 0);
    assert_int_equal(chmod(overlay, 0644), 0);
    assert_true(disks_add_overlays(world->qmp, disks, "t", NULL));
    assert_int_equal(stat(overlay, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(g_remove(overlay), 0);
    assert_int_equal(g_remove(image), 0);
    assert_int_equal(g_remove(directory), 0);
    world_free(world);
}

/* Else the twentieth would be too long for a file system. */
static void an_overlay_of_an_overlay_has_no_longer_name(void **state)
{
    World *world = world_new("[" DISK("d", "/i/a.qcow2.261125-130241-123.qcow2",
                                      "n", "false", "") "]");
    g_autoptr(GArray) disks = disks_query(world->qmp, "/", NULL);

    assert_true(disks_add_overlays(world->qmp, disks, "t", NULL));
    assert_string_equal(g_array_index(disks, Disk, 0).overlay,
                        "/i/a.qcow2.t.qcow2");
    assert_int_equal(disks_stem_len("a.261125-130241-123.qcow2"
                                    ".261125-130241-124.qcow2"),
                     1);
    assert_int_equal(disks_stem_len("a.261125-130241-123.qcow"), 24);
    world_free(world);
}

static void an_image_of_a_relative_name_is_found_from_its_overlay(void **state)
{
    World *world = world_new(three_disks);
    g_autoptr(GArray) disks = query(world);

    assert_true(disks_add_overlays(world->qmp, disks, "t", NULL));
    g_autofree char *log = fake_peer_log(world->peer);
    /* Once: the second disk's name is absolute. */
    const char *first = strstr(log, "change-backing-file");
    assert_non_null(first);
    assert_null(strstr(first + 1, "change-backing-file"));
    world_free(world);
}

/* QEMU calls the overlay by a plain name then, which does not grow. */
static void a_name_that_is_right_beside_the_image_stays_as_it_is(void **state)
{
    World *world =
        world_new("[" DISK("d0", "a.qcow2", "n0", "false", "") ", " DISK(
            "d1", "./b.raw", "n1", "false", "") "]");
    g_autoptr(GArray) disks = query(world);

    assert_true(disks_add_overlays(world->qmp, disks, "t", NULL));
    g_autofree char *log = fake_peer_log(world->peer);
    assert_null(strstr(log, "change-backing-file"));
    world_free(world);
}

/* n bytes long: QEMU's for an image that is called otherwise in an overlay. */
static char *name_in_json(size_t n)
{
    static const char format[] =
        "json:{\\\"file\\\": {\\\"driver\\\": \\\"file\\\", "
        "\\\"filename\\\": \\\"/i/a.qcow2\\\"}%*s}";
    size_t n_escapes = 10;
    int len = snprintf(NULL, 0, format, 0, "");

    return g_strdup_printf(format, (int)(n + n_escapes) - len, "");
}

static void a_name_that_no_overlay_can_hold_is_refused(void **state)
{
    for (size_t n = 1023; n <= 1024; n++) {
        g_autofree char *name = name_in_json(n);
        g_autofree char *blocks = g_strdup_printf(
            "[" DISK("d0", "%s", "n0", "false", "") "]", name, name);
        World *world = world_new(blocks);
        g_autoptr(GArray) disks = query(world);
        GError *error = NULL;

        assert_int_equal(strlen(g_array_index(disks, Disk, 0).shown), n);
        assert_int_equal(disks_add_overlays(world->qmp, disks, "t", &error),
                         n == 1023);
        if (n == 1024) {
            assert_util_error(error, UTIL_ERROR_FAILED,
                              "start the guest anew with /i/a.qcow2");
            assert_null(world->actions);
        }
        world_free(world);
    }
}

static void where_one_disk_gets_no_overlay_none_has_one(void **state)
{
    World *world = world_new(three_disks);
    g_autoptr(GArray) disks = query(world);
    GError *error = NULL;

    world->refused = "transaction";
    assert_false(disks_add_overlays(world->qmp, disks, "t", &error));
    assert_util_error(error, UTIL_ERROR_REFUSED, "no room");
    assert_null(g_array_index(disks, Disk, 0).overlay);
    assert_true(disks_remove_overlays(world->qmp, disks, NULL));
    world_free(world);
}

static void a_disk_that_is_no_file_is_refused_by_name(void **state)
{
    World *world =
        world_new("[" DISK("d0", "nbd://far/x", "n0", "false", "") "]");
    g_autoptr(GArray) disks = query(world);
    GError *error = NULL;

    assert_null(g_array_index(disks, Disk, 0).file);
    assert_false(disks_add_overlays(world->qmp, disks, "t", &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "d0 (nbd://far/x)");
    world_free(world);
}

static void an_image_that_was_opened_by_options_is_found(void **state)
{
    World *world = world_new(
        "[{\"device\": \"d0\", \"inserted\": {\"node-name\": \"n0\", \"drv\": "
        "\"qcow2\", \"ro\": false, \"file\": \"json:{\\\"driver\\\": "
        "\\\"qcow2\\\", \\\"file\\\": {\\\"driver\\\": \\\"file\\\", "
        "\\\"filename\\\": \\\"/o.qcow2\\\"}}\"}}]");
    g_autoptr(GArray) disks = query(world);

    assert_string_equal(g_array_index(disks, Disk, 0).file, "/o.qcow2");
    world_free(world);
}

static void overlays_are_undone_by_committing_them(void **state)
{
    World *world = world_new("[" DISK("d0", "/a.qcow2", "n0", "false", "") "]");
    g_autoptr(GArray) disks = query(world);
    GError *error = NULL;

    assert_true(disks_add_overlays(world->qmp, disks, "t", NULL));
    disks_remove_overlays(world->qmp, disks, &error);
    assert_no_error(error);
    assert_null(g_array_index(disks, Disk, 0).overlay);
    g_autofree char *log = fake_peer_log(world->peer);
    assert_non_null(strstr(log, "transaction block-commit query-jobs "
                                "job-complete query-jobs"));
    assert_non_null(strstr(log, "job-dismiss"));
    world_free(world);
}

/* Somebody has cancelled the commit, which then ends without an error. */
static void an_overlay_that_the_guest_still_uses_is_not_removed(void **state)
{
    g_autofree char *directory = g_dir_make_tmp("preheat-XXXXXX", NULL);
    g_autofree char *overlay =
        g_build_filename(directory, "a.qcow2.t.qcow2", NULL);
    g_autofree char *before = g_strdup_printf(
        "[" DISK("d0", "%1$s/a.qcow2", "n0", "false", "") "]", directory);
    World *world = world_new(before);
    g_autoptr(GArray) disks = query(world);
    GError *error = NULL;

    assert_true(g_file_set_contents(overlay, "", 0, NULL));
    assert_true(disks_add_overlays(world->qmp, disks, "t", NULL));
    world->committed =
        "[" DISK("d0", "/a.qcow2.t.qcow2", "preheat-t-0", "false", "") "]";
    assert_false(disks_remove_overlays(world->qmp, disks, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "the guest still uses it");
    assert_int_equal(g_remove(overlay), 0);
    g_remove(directory);
    world_free(world);
}

static void an_overlay_that_cannot_be_committed_is_told(void **state)
{
    World *world = world_new("[" DISK("d0", "/a.qcow2", "n0", "false", "") "]");
    g_autoptr(GArray) disks = query(world);
    GError *error = NULL;

    assert_true(disks_add_overlays(world->qmp, disks, "t", NULL));
    world->job_error = "I/O error";
    assert_false(disks_remove_overlays(world->qmp, disks, &error));
    assert_util_error(error, UTIL_ERROR_FAILED,
                      "the disk d0 stays in its overlay /a.qcow2.t.qcow2: "
                      "I/O error");
    world_free(world);
}

/* A signal comes before QEMU has answered. */
static void be_interrupted_adding(World *world, GArray *disks)
{
    int interrupt_fd = eventfd(1, EFD_CLOEXEC);
    GError *error = NULL;

    rpc_set_interrupt_fd(world->qmp, interrupt_fd);
    assert_false(disks_add_overlays(world->qmp, disks, "t", &error));
    assert_util_error(error, UTIL_ERROR_INTERRUPTED, "interrupted");
    rpc_set_interrupt_fd(world->qmp, -1);
    close(interrupt_fd);
}

static void an_overlay_that_qemu_did_not_tell_of_is_undone(void **state)
{
    World *world = world_new("[" DISK("d0", "/a.qcow2", "n0", "false", "") "]");
    g_autoptr(GArray) disks = query(world);
    GError *error = NULL;

    be_interrupted_adding(world, disks);
    world->committed = world->blocks;
    world->blocks =
        "[" DISK("d0", "/a.qcow2.t.qcow2", "preheat-t-0", "false", "") "]";
    disks_remove_overlays(world->qmp, disks, &error);
    assert_no_error(error);
    g_autofree char *log = fake_peer_log(world->peer);
    assert_non_null(strstr(log, "transaction query-block block-commit"));
    world_free(world);
}

static void an_overlay_that_qemu_did_not_make_is_forgotten(void **state)
{
    World *world = world_new("[" DISK("d0", "/a.qcow2", "n0", "false", "") "]");
    g_autoptr(GArray) disks = query(world);
    GError *error = NULL;

    be_interrupted_adding(world, disks);
    disks_remove_overlays(world->qmp, disks, &error);
    assert_no_error(error);
    assert_null(g_array_index(disks, Disk, 0).overlay);
    g_autofree char *log = fake_peer_log(world->peer);
    assert_null(strstr(log, "block-commit"));
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_disk_with_a_medium_is_found),
        cmocka_unit_test(all_writable_disks_get_overlays_in_one_transaction),
        cmocka_unit_test(an_overlay_can_be_read_by_no_more_than_its_image),
        cmocka_unit_test(an_overlay_of_an_overlay_has_no_longer_name),
        cmocka_unit_test(an_image_of_a_relative_name_is_found_from_its_overlay),
        cmocka_unit_test(a_name_that_is_right_beside_the_image_stays_as_it_is),
        cmocka_unit_test(a_name_that_no_overlay_can_hold_is_refused),
        cmocka_unit_test(where_one_disk_gets_no_overlay_none_has_one),
        cmocka_unit_test(a_disk_that_is_no_file_is_refused_by_name),
        cmocka_unit_test(an_image_that_was_opened_by_options_is_found),
        cmocka_unit_test(overlays_are_undone_by_committing_them),
        cmocka_unit_test(an_overlay_that_the_guest_still_uses_is_not_removed),
        cmocka_unit_test(an_overlay_that_cannot_be_committed_is_told),
        cmocka_unit_test(an_overlay_that_qemu_did_not_tell_of_is_undone),
        cmocka_unit_test(an_overlay_that_qemu_did_not_make_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
