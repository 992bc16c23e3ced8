/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Disks that are taken back to a snapshot, by a program in qemu-img's place
 * that writes down what it was told.
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/disk-revert.h"
#include "host/qmp.h"
#include "tests/formats/qcow2-image.h"
#include "tests/host/fake-peer.h"

typedef struct World {
    char *directory;
    char *qemu; /* not there; but "qemu-img" is, beside it */
    char *log;
    json_t *blocks;
    FakePeer *peer;
    Rpc *qmp;
    int fd; /* of d0 */
} World;

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    World *world = opaque;

    return strcmp(command, "query-block") == 0 ? json_incref(world->blocks)
                                               : json_object();
}

static char *path_of(const World *world, const char *name)
{
    return g_build_filename(world->directory, name, NULL);
}

static void write_disk(const World *world, const char *name,
                       const Qcow2Image *image)
{
    g_autofree char *path = path_of(world, name);

    assert_true(g_file_set_contents(path, (const char *)image->bytes,
                                    (gssize)image->len_bytes, NULL));
}

static void add_disk(World *world, const char *name, const char *format,
                     bool read_only)
{
    g_autofree char *path = path_of(world, name);

    json_array_append_new(world->blocks,
                          json_pack("{s:s, s:{s:s, s:s, s:s, s:b}}", "device",
                                    name, "inserted", "node-name", name, "file",
                                    path, "drv", format, "ro", (int)read_only));
}

static void write_program(const World *world, const char *then)
{
    g_autofree char *path = path_of(world, "qemu-img");
    g_autofree char *text =
        g_strdup_printf("#!/bin/sh\necho \"$@\" >>%s\n%s\n", world->log, then);

    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(chmod(path, 0700), 0);
}

static int set_up(void **state)
{
    World *world = g_new0(World, 1);
    g_autofree Qcow2Image *image = qcow2_image_new();
    g_autofree char *path = NULL;

    world->directory = make_directory();
    world->qemu = path_of(world, "qemu");
    assert_true(g_file_set_contents(world->qemu, "", 0, NULL));
    assert_int_equal(chmod(world->qemu, 0700), 0);
    world->log = path_of(world, "log");
    world->blocks = json_array();
    write_disk(world, "d0", image);
    write_disk(world, "d1", image);
    add_disk(world, "d0", "qcow2", false);
    write_program(world, "");
    path = path_of(world, "d0");
    world->fd = open(path, O_RDONLY | O_CLOEXEC);
    world->qmp = fake_peer_connect_qmp(answer, world, &world->peer);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;

    rpc_free(world->qmp);
    fake_peer_free(world->peer);
    json_decref(world->blocks);
    close(world->fd);
    remove_directory(world->directory);
    g_free(world->qemu);
    g_free(world->log);
    g_free(world);
    return 0;
}

static bool revert(World *world, const char *tag, GError **error)
{
    return disk_revert(world->qmp, tag, world->fd, "d0", "/", world->qemu,
                       error);
}

static void refuse(World *world, const char *text)
{
    GError *error = NULL;

    assert_false(revert(world, "warm", &error));
    assert_non_null(strstr(error->message, text));
    g_error_free(error);
    assert_int_not_equal(access(world->log, F_OK), 0);
}

static void assert_told(const World *world, const char *expected)
{
    g_autofree char *told = NULL;

    assert_true(g_file_get_contents(world->log, &told, NULL, NULL));
    assert_string_equal(told, expected);
}

static void every_writable_disk_goes_back_by_its_own_id(void **state)
{
    World *world = *state;
    g_autofree Qcow2Image *other = qcow2_image_new();
    g_autofree char *expected = g_strdup_printf("snapshot -q -a 7 %1$s/d0\n"
                                                "snapshot -q -a 9 %1$s/d1\n",
                                                world->directory);
    GError *error = NULL;

    other->bytes[TABLE_AT * CLUSTER + 56] = '9';
    write_disk(world, "d1", other);
    add_disk(world, "d1", "qcow2", false);
    add_disk(world, "cd", "raw", true);
    revert(world, "7", &error);
    assert_no_error(error);
    assert_told(world, expected);
}

static void a_disk_that_lacks_the_snapshot_is_refused(void **state)
{
    World *world = *state;
    g_autofree Qcow2Image *other = qcow2_image_new();

    memcpy(&other->bytes[TABLE_AT * CLUSTER + 57], "cold", 4);
    write_disk(world, "d1", other);
    add_disk(world, "d1", "qcow2", false);
    refuse(world, "the disk d1: ");
}

static void a_writable_disk_of_another_kind_is_refused(void **state)
{
    World *world = *state;

    add_disk(world, "d1", "raw", false);
    refuse(world, "the disk d1 (");
}

static void a_machine_without_the_disk_is_refused(void **state)
{
    World *world = *state;

    json_array_clear(world->blocks);
    add_disk(world, "d1", "qcow2", false);
    refuse(world, "d0 is not a writable disk of this machine");
}

/* As QEMU locks what it writes to, and what nobody else may write to. */
static void a_disk_in_use_is_refused(void **state)
{
    static const off_t locks[] = {101, 201};
    World *world = *state;
    g_autofree char *path = path_of(world, "d0");

    for (size_t i = 0; i < G_N_ELEMENTS(locks); i++) {
        struct flock lock = {.l_type = F_RDLCK,
                             .l_whence = SEEK_SET,
                             .l_start = locks[i],
                             .l_len = 1};
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
        refuse(world, "is in use by another program");
        close(fd);
    }
}

static void why_a_disk_cannot_go_back_is_told(void **state)
{
    World *world = *state;
    GError *error = NULL;

    write_program(world, "echo no room >&2; exit 1");
    assert_false(revert(world, "warm", &error));
    assert_non_null(strstr(error->message, "the disk d0 ("));
    assert_util_error(error, UTIL_ERROR_FAILED, "no room");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_writable_disk_goes_back_by_its_own_id),
        TEST(a_disk_that_lacks_the_snapshot_is_refused),
        TEST(a_writable_disk_of_another_kind_is_refused),
        TEST(a_machine_without_the_disk_is_refused),
        TEST(a_disk_in_use_is_refused),
        TEST(why_a_disk_cannot_go_back_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
