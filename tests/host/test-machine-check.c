/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <unistd.h>

#include "host/machine-check.h"
#include "host/qmp.h"
#include "tests/host/fake-peer.h"

#define MIB (UINT64_C(1) << 20)

/* ---- blocks ---- */

static RamImageBlock saved_blocks[] = {
    {.name = (char *)"pc.ram", .len_bytes = 1024 * MIB},
    {.name = (char *)"mem1", .len_bytes = 512 * MIB},
    {.name = (char *)"pc.bios", .len_bytes = 4 * MIB},
    {.name = (char *)"tables", .len_bytes = MIB / 8},
};

static const RamImage snapshot = {
    .path = (char *)"vm.snap",
    .blocks = saved_blocks,
    .n_blocks = G_N_ELEMENTS(saved_blocks),
};

/* The machine that the snapshot was saved from, for changes. */
static GArray *same_machine(void)
{
    const RamBlock blocks[] = {
        {(char *)"pc.ram", 4096, 1024 * MIB, 1024 * MIB, 0x10000, true},
        {(char *)"mem1", 4096, 512 * MIB, 512 * MIB, 0x20000, true},
        {(char *)"pc.bios", 4096, 4 * MIB, 4 * MIB, 0x30000, false},
        {(char *)"tables", 4096, MIB / 8, 2 * MIB, 0x40000, true},
        {(char *)"", 4096, 8 * MIB, 8 * MIB, 0x50000, true},
    };
    GArray *array = g_array_new(FALSE, FALSE, sizeof(RamBlock));

    g_array_append_vals(array, blocks, G_N_ELEMENTS(blocks));
    return array;
}

static RamBlock *block_at(GArray *blocks, guint i)
{
    return &g_array_index(blocks, RamBlock, i);
}

static void assert_fits(const GArray *blocks)
{
    GError *error = NULL;

    machine_check_blocks(&snapshot, blocks, &error);
    assert_no_error(error);
}

static void assert_misfit(const GArray *blocks, const char *text)
{
    GError *error = NULL;

    assert_false(machine_check_blocks(&snapshot, blocks, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, text);
}

static void the_machine_that_was_saved_fits(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    assert_fits(blocks);
}

static void another_ram_size_is_told_with_the_option_to_give(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    block_at(blocks, 0)->used_bytes = 2048 * MIB;
    block_at(blocks, 0)->total_bytes = 2048 * MIB;
    assert_misfit(blocks,
                  "vm.snap: RAM block pc.ram is 1 GiB in the snapshot but 2 "
                  "GiB in this machine; start QEMU with -m 1G");
}

static void another_backend_size_is_told_with_the_size_to_give(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    block_at(blocks, 1)->used_bytes = 256 * MIB;
    block_at(blocks, 1)->total_bytes = 256 * MIB;
    assert_misfit(blocks, "start QEMU with a size of 512M for it");
}

static void a_block_that_the_machine_lacks_is_named(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    g_array_remove_index(blocks, 1);
    assert_misfit(blocks, "RAM block mem1 (512 MiB) is in the snapshot but "
                          "not in this machine");
}

static void a_block_that_the_snapshot_lacks_is_named(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    block_at(blocks, 4)->name = (char *)"e1000.rom";
    assert_misfit(blocks, "RAM block e1000.rom that is not in the snapshot");
}

static void a_block_that_can_grow_may_have_another_length(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    block_at(blocks, 3)->used_bytes = MIB;
    assert_fits(blocks);
}

static void a_block_cannot_grow_beyond_its_total(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    block_at(blocks, 3)->used_bytes = 4096;
    block_at(blocks, 3)->total_bytes = 8192;
    assert_misfit(blocks, "RAM block tables");
}

static void large_writable_blocks_are_lazy(void **state)
{
    g_autoptr(GArray) blocks = same_machine();
    g_autofree bool *lazy = machine_lazy_blocks(&snapshot, blocks);

    assert_true(lazy[0]);
    assert_true(lazy[1]);
}

static void read_only_and_small_blocks_are_not_lazy(void **state)
{
    g_autoptr(GArray) blocks = same_machine();
    g_autofree bool *lazy = machine_lazy_blocks(&snapshot, blocks);

    assert_false(lazy[2]);
    assert_false(lazy[3]);
}

/* ---- devices ---- */

/* What the fake QEMU answers. */
typedef struct Machine {
    const char *device;  /* QOM type in /machine/peripheral-anon */
    const char *object;  /* QOM type in /objects */
    const char *network; /* text of `info network` */
} Machine;

static json_t *children(const char *type)
{
    return json_pack("[{s:s, s:s}, {s:s, s:o}]", "name", "type", "type",
                     "string", "name", "it", "type",
                     json_sprintf("child<%s>", type));
}

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    const Machine *machine = opaque;
    const char *path = json_string_value(json_object_get(arguments, "path"));

    if (g_str_equal(command, "human-monitor-command")) {
        return json_string(machine->network);
    }
    if (!g_str_equal(command, "qom-list")) {
        return NULL;
    }
    if (g_str_equal(path, "/machine/peripheral-anon")) {
        return children(machine->device);
    }
    return g_str_equal(path, "/objects") ? children(machine->object)
                                         : json_array();
}

static bool check(Machine machine, GError **error)
{
    int fd;
    FakePeer *peer = fake_peer_new_qmp(answer, &machine, &fd);
    g_autoptr(Rpc) qmp = qmp_new(fd);
    json_t *greeting;
    bool ok;

    assert_true(rpc_greeting(qmp, "QMP", -1, &greeting, NULL));
    json_decref(greeting);
    ok = machine_check_devices(qmp, getpid(), error);
    fake_peer_free(peer);
    return ok;
}

static const Machine harmless = {
    .device = "virtio-net-pci",
    .object = "memory-backend-memfd",
    .network = "virtio-net-pci.0: index=0,type=nic,model=virtio-net-pci\r\n"
               " \\ #net030: index=0,type=user,net=10.0.2.0,restrict=off\r\n",
};

static void assert_refused(Machine machine, const char *who)
{
    GError *error = NULL;

    assert_false(check(machine, &error));
    assert_non_null(strstr(error->message, "--policy full"));
    assert_util_error(error, UTIL_ERROR_FAILED, who);
}

static void an_ordinary_machine_can_be_loaded_lazily(void **state)
{
    GError *error = NULL;

    check(harmless, &error);
    assert_no_error(error);
}

static void devices_that_share_or_pin_guest_ram_are_refused(void **state)
{
    static const char *const types[] = {"vhost-user-blk-pci", "vfio-pci",
                                        "vhost-vdpa-device-pci",
                                        "ivshmem-plain"};

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        Machine machine = harmless;

        machine.device = types[i];
        assert_refused(machine, types[i]);
    }
}

static void objects_that_share_guest_ram_are_refused(void **state)
{
    Machine machine = harmless;

    machine.object = "cryptodev-vhost-user";
    assert_refused(machine, "/objects/it (cryptodev-vhost-user)");
}

static void network_backends_that_share_guest_ram_are_refused(void **state)
{
    Machine machine = harmless;

    machine.network = "virtio-net-pci.0: index=0,type=nic\r\n"
                      " \\ vun: index=0,type=vhost-user\r\n";
    assert_refused(machine, "network backend vun (vhost-user)");
}

static void a_device_that_is_only_named_like_one_is_fine(void **state)
{
    Machine machine = harmless;
    GError *error = NULL;

    machine.network = "vhost-user: index=0,type=user,net=10.0.2.0\r\n";
    check(machine, &error);
    assert_no_error(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_that_was_saved_fits),
        cmocka_unit_test(another_ram_size_is_told_with_the_option_to_give),
        cmocka_unit_test(another_backend_size_is_told_with_the_size_to_give),
        cmocka_unit_test(a_block_that_the_machine_lacks_is_named),
        cmocka_unit_test(a_block_that_the_snapshot_lacks_is_named),
        cmocka_unit_test(a_block_that_can_grow_may_have_another_length),
        cmocka_unit_test(a_block_cannot_grow_beyond_its_total),
        cmocka_unit_test(large_writable_blocks_are_lazy),
        cmocka_unit_test(read_only_and_small_blocks_are_not_lazy),
        cmocka_unit_test(an_ordinary_machine_can_be_loaded_lazily),
        cmocka_unit_test(devices_that_share_or_pin_guest_ram_are_refused),
        cmocka_unit_test(objects_that_share_guest_ram_are_refused),
        cmocka_unit_test(network_backends_that_share_guest_ram_are_refused),
        cmocka_unit_test(a_device_that_is_only_named_like_one_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
