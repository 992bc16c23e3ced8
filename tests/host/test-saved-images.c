/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "host/qmp.h"
#include "host/saved-images.h"
#include "tests/host/fake-peer.h"
#include "tests/util/support.h"

#define IDENTITY "ab12"

typedef struct World {
    char *directory;
    const char *disk; /* in it, as QEMU has it */
    bool read_only;
    Manifest *manifest; /* has "a.img" there */
    LoadOptions options;
    FakePeer *peer;
    Rpc *qmp;
} World;

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    const World *world = opaque;

    return json_pack("[{s:s, s:{s:s, s:s, s:s, s:b}}]", "device", "d0",
                     "inserted", "file", world->disk, "node-name", "n", "drv",
                     "raw", "ro", (int)world->read_only);
}

static void put(const World *world, const char *name)
{
    g_autofree char *path = g_build_filename(world->directory, name, NULL);

    assert_true(g_file_set_contents(path, name, -1, NULL));
}

static int set_up(void **state)
{
    World *world = g_new0(World, 1);

    world->directory = make_directory();
    put(world, "a.img");
    put(world, "other.img");
    world->disk = "a.img";
    world->manifest = manifest_new();
    world->manifest->identity = g_strdup(IDENTITY);
    const ManifestDisk disk = {
        .node = g_strdup("n"),
        .file = g_build_filename(world->directory, "a.img", NULL),
        .format = g_strdup("raw"),
        .handling = MANIFEST_DISK_OVERLAY,
    };
    g_array_append_val(world->manifest->disks, disk);
    world->options.manifest = world->manifest;
    world->options.given_snapshot = "vm.snap";
    world->qmp = fake_peer_connect_qmp(answer, world, &world->peer);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;

    rpc_free(world->qmp);
    fake_peer_free(world->peer);
    manifest_free(world->manifest);
    remove_directory(world->directory);
    g_free(world);
    return 0;
}

static bool check(const World *world, const char *identity, GError **error)
{
    return saved_images_check(&world->options, identity, world->qmp,
                              world->directory, error);
}

static void a_machine_that_would_write_to_one_is_refused(void **state)
{
    const World *world = *state;
    GError *error = NULL;

    assert_false(check(world, IDENTITY, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "belongs to the snapshot");
}

static void one_that_only_reads_it_or_has_another_is_not(void **state)
{
    World *world = *state;

    world->read_only = true;
    assert_true(check(world, IDENTITY, NULL));
    world->read_only = false;
    world->disk = "other.img";
    assert_true(check(world, IDENTITY, NULL));
}

static void an_image_that_was_left_is_its_owners(void **state)
{
    const World *world = *state;

    g_array_index(world->manifest->disks, ManifestDisk, 0).handling =
        MANIFEST_DISK_LEFT;
    assert_true(check(world, IDENTITY, NULL));
}

static void a_manifest_of_another_snapshot_says_nothing(void **state)
{
    assert_true(check(*state, "cd34", NULL));
}

/* It has overlays of its own. */
static void a_machine_from_the_manifest_is_not_asked(void **state)
{
    World *world = *state;

    world->options.argv_is_saved = true;
    assert_true(check(world, IDENTITY, NULL));
    g_autofree char *log = fake_peer_log(world->peer);
    assert_null(strstr(log, "query-block"));
}

int main(void)
{
#define IN_A_WORLD(test)                                                       \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(a_machine_that_would_write_to_one_is_refused),
        IN_A_WORLD(one_that_only_reads_it_or_has_another_is_not),
        IN_A_WORLD(an_image_that_was_left_is_its_owners),
        IN_A_WORLD(a_manifest_of_another_snapshot_says_nothing),
        IN_A_WORLD(a_machine_from_the_manifest_is_not_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
