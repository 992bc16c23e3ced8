/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A load from a snapshot in a qcow2 that somebody writes to meanwhile.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/control-protocol.h"
#include "formats/qcow2.h"
#include "tests/formats/qcow2-image.h"
#include "tests/plugin/session-world.h"

/* The world's snapshot in a disk. */
static char *make_disk(const World *world)
{
    char *path = world_file(world, "disk.qcow2");

    qcow2_image_save_around(world->bytes, path);
    return path;
}

static json_t *in_disk(json_t *arguments, const char *path, const char *tag)
{
    json_object_set_new(arguments, CONTROL_KEY_SNAPSHOT, json_string(path));
    json_object_set_new(arguments, CONTROL_KEY_TAG, json_string(tag));
    return arguments;
}

static void load(const World *world, const char *path, const char *policy)
{
    world_do(world, CONTROL_CMD_LOAD,
             in_disk(world_load_arguments(world, policy), path, "warm"));
    world_attach(world);
}

/* As QEMU takes the snapshot out of the table, and writes to what was its. */
static void delete_snapshot(const char *path)
{
    static const uint8_t head[QCOW2_SNAPSHOTS_LEN_BYTES];
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    g_autofree uint8_t *others = g_malloc(64 << 10);
    struct stat disk;

    assert_int_equal(pwrite(fd, head, sizeof head, QCOW2_SNAPSHOTS_OFF_BYTES),
                     sizeof head);
    memset(others, 'X', 64 << 10);
    assert_int_equal(fstat(fd, &disk), 0);
    for (off_t at = 4 * (64 << 10); at < disk.st_size; at += 64 << 10) {
        assert_int_equal(pwrite(fd, others, 64 << 10, at), 64 << 10);
    }
    close(fd);
}

static void a_snapshot_in_a_disk_is_loaded_by_its_tag(void **state)
{
    World *world = world_new();
    g_autofree char *path = make_disk(world);

    load(world, path, "sequential");
    world_await(world, "all");
    world_assert_loads(world);
}

static void ram_is_compared_with_a_snapshot_in_a_disk(void **state)
{
    World *world = world_new();
    g_autofree char *path = make_disk(world);

    world_fill(world);
    json_t *answer =
        world_call(world, CONTROL_CMD_VERIFY,
                   in_disk(world_verify_arguments(world), path, "warm"));
    assert_true(json_is_true(json_object_get(answer, CONTROL_KEY_EQUAL)));
    json_decref(answer);
}

static void a_tag_that_is_not_there_is_told(void **state)
{
    World *world = world_new();
    g_autofree char *path = make_disk(world);

    world_refuse(world, CONTROL_CMD_LOAD,
                 in_disk(world_load_arguments(world, "demand"), path, "cold"),
                 "no snapshot is called cold; there is warm");
}

static void a_guest_that_writes_to_the_disk_changes_nothing(void **state)
{
    World *world = world_new();
    g_autofree char *path = make_disk(world);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

    load(world, path, "demand");
    world_touch(world, WORLD_RAM, 0);
    assert_int_equal(write(fd, "guest", 5), 5);
    close(fd);
    world_do(world, CONTROL_CMD_LOAD_REST, NULL);
    world_assert_loads(world);
}

static void
no_page_comes_from_a_snapshot_that_was_deleted_during_the_load(void **state)
{
    World *world = world_new();
    g_autofree char *path = make_disk(world);

    load(world, path, "demand");
    world_touch(world, WORLD_RAM, 0);
    delete_snapshot(path);
    world_do(world, CONTROL_CMD_LOAD_REST, NULL);
    json_t *data =
        line_client_read_event(world->events, CONTROL_EVENT_READ_ERROR);
    assert_string_equal(text_in(data, "operation"), "checking");
    assert_says(text_in(data, "error"), "snapshot warm was deleted");
    json_decref(data);
    world_assert_state(world, CONTROL_CMD_QUERY, "failed");
    /* All that had come is right still. */
    assert_true(world_page_is_right(world, WORLD_RAM, 0));
}

static void a_snapshot_that_is_deleted_when_all_is_read_was_loaded(void **state)
{
    World *world = world_new();
    g_autofree char *path = make_disk(world);

    load(world, path, "sequential");
    world_await(world, "all");
    delete_snapshot(path);
    for (uint64_t page = 0; page < 64; page++) {
        assert_true(world_page_is_right(world, WORLD_VRAM, page));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_in_a_disk_is_loaded_by_its_tag),
        cmocka_unit_test(ram_is_compared_with_a_snapshot_in_a_disk),
        cmocka_unit_test(a_tag_that_is_not_there_is_told),
        cmocka_unit_test(a_guest_that_writes_to_the_disk_changes_nothing),
        cmocka_unit_test(
            no_page_comes_from_a_snapshot_that_was_deleted_during_the_load),
        cmocka_unit_test(
            a_snapshot_that_is_deleted_when_all_is_read_was_loaded),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, worlds_remove_files);
}
