/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/machine-check.h"
#include "host/machine-watch.h"
#include "host/qmp.h"
#include "tests/host/fake-peer.h"

/* A fake QEMU, whose process is the test's own, with one RAM block. */
typedef struct World {
    RamBlock block;
    GArray *blocks;
    const char *device; /* QOM type in /machine/peripheral */
    FakePeer *peer;
    Rpc *qmp;
    MachineWatch *watch;
} World;

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    const World *world = opaque;
    const char *path = json_string_value(json_object_get(arguments, "path"));

    if (g_str_equal(command, "human-monitor-command")) {
        return json_string("");
    }
    if (path && g_str_equal(path, "/machine/peripheral")) {
        return json_pack("[{s:s, s:o}]", "name", "it", "type",
                         json_sprintf("child<%s>", world->device));
    }
    return json_array();
}

/* flags: of mmap().  pid: 0: the test's. */
static World *world_new(int flags, pid_t pid)
{
    World *world = g_new0(World, 1);
    json_t *greeting;
    void *at;
    int fd;

    at = mmap(NULL, LAZY_MIN_BYTES, PROT_READ | PROT_WRITE,
              flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(at != MAP_FAILED);
    world->block = (RamBlock){(char *)"mem",  4096,          LAZY_MIN_BYTES,
                              LAZY_MIN_BYTES, (uintptr_t)at, true};
    world->blocks = g_array_new(FALSE, FALSE, sizeof(RamBlock));
    g_array_append_val(world->blocks, world->block);
    world->device = "virtio-net-pci";
    world->peer = fake_peer_new_qmp(answer, world, &fd);
    world->qmp = qmp_new(fd);
    assert_true(rpc_greeting(world->qmp, "QMP", -1, &greeting, NULL));
    json_decref(greeting);
    world->watch = machine_watch_new(pid ? pid : getpid(), world->blocks);
    return world;
}

static void world_free(World *world)
{
    machine_watch_free(world->watch);
    rpc_free(world->qmp);
    fake_peer_free(world->peer);
    munmap((void *)(uintptr_t)world->block.host, LAZY_MIN_BYTES);
    g_array_unref(world->blocks);
    g_free(world);
}

static char *look(World *world)
{
    GError *error = NULL;
    char *found = NULL;

    machine_watch_look(world->watch, world->qmp, &found, &error);
    assert_no_error(error);
    return found;
}

static void private_ram_needs_no_watch(void **state)
{
    World *world = world_new(MAP_PRIVATE, 0);

    assert_null(world->watch);
    world_free(world);
}

static void qemu_is_asked_nothing_while_it_opens_nothing(void **state)
{
    World *world = world_new(MAP_SHARED, 0);
    g_autofree char *log = NULL;

    assert_null(look(world));
    assert_null(look(world));
    log = fake_peer_log(world->peer);
    assert_string_equal(log, "");
    world_free(world);
}

static void a_device_that_comes_is_found_by_what_it_opens(void **state)
{
    World *world = world_new(MAP_SHARED, 0);
    g_autofree char *found = NULL;
    int fds[2];

    assert_null(look(world));
    world->device = "vhost-user-blk-pci";
    assert_return_code(pipe(fds), 0);
    found = look(world);
    assert_non_null(found);
    assert_non_null(strstr(found, "/machine/peripheral/it "
                                  "(vhost-user-blk-pci) has appeared while"));
    close(fds[0]);
    close(fds[1]);
    world_free(world);
}

static void a_harmless_device_that_comes_is_none(void **state)
{
    World *world = world_new(MAP_SHARED, 0);
    int fds[2];

    assert_return_code(pipe(fds), 0);
    assert_null(look(world));
    close(fds[0]);
    close(fds[1]);
    world_free(world);
}

static void where_open_files_cannot_be_seen_qemu_is_asked(void **state)
{
    pid_t ended = fork();
    g_autofree char *found = NULL;
    World *world;

    if (ended == 0) {
        _exit(0);
    }
    waitpid(ended, NULL, 0);
    world = world_new(MAP_SHARED, ended);
    world->device = "vhost-user-blk-pci";
    found = look(world);
    assert_non_null(found);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(private_ram_needs_no_watch),
        cmocka_unit_test(qemu_is_asked_nothing_while_it_opens_nothing),
        cmocka_unit_test(a_device_that_comes_is_found_by_what_it_opens),
        cmocka_unit_test(a_harmless_device_that_comes_is_none),
        cmocka_unit_test(where_open_files_cannot_be_seen_qemu_is_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
