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

/* Of "grown": the pages at 0 and at 256 KiB are in the file. */
static uint64_t grown_bitmap[] = {1, 1, 0, 0};

static uint64_t empty_bitmap[1024 * MIB / 4096 / 64];

static RamImageBlock saved_blocks[] = {
    {.name = (char *)"pc.ram", .len_bytes = 1024 * MIB},
    {.name = (char *)"mem1", .len_bytes = 512 * MIB},
    {.name = (char *)"pc.bios", .len_bytes = 4 * MIB},
    {.name = (char *)"tables", .len_bytes = MIB / 8},
    {.name = (char *)"sram A1", .len_bytes = MIB},
    {.name = (char *)"grown", .len_bytes = MIB, .bitmap = grown_bitmap},
};

static const RamImage snapshot = {
    .path = (char *)"vm.snap",
    .blocks = saved_blocks,
    .n_blocks = G_N_ELEMENTS(saved_blocks),
};

static int set_up(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(saved_blocks); i++) {
        RamImageBlock *block = &saved_blocks[i];

        block->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
        block->n_pages = block->len_bytes / block->page_bytes;
        if (!block->bitmap) {
            block->bitmap = empty_bitmap;
        }
    }
    return 0;
}

/* The machine that the snapshot was saved from, for changes. */
static GArray *same_machine(void)
{
    const RamBlock blocks[] = {
        {(char *)"pc.ram", 4096, 1024 * MIB, 1024 * MIB, 0x10000, true},
        {(char *)"mem1", 4096, 512 * MIB, 512 * MIB, 0x20000, true},
        {(char *)"pc.bios", 4096, 4 * MIB, 4 * MIB, 0x30000, false},
        {(char *)"tables", 4096, MIB / 8, 2 * MIB, 0x40000, true},
        {(char *)"", 4096, 8 * MIB, 8 * MIB, 0x50000, true},
        {(char *)"sram A1", 4096, MIB, MIB, 0x60000, true},
        {(char *)"grown", 4096, MIB, 2 * MIB, 0x70000, true},
    };
    GArray *array = g_array_new(FALSE, FALSE, sizeof(RamBlock));

    g_array_append_vals(array, blocks, G_N_ELEMENTS(blocks));
    return array;
}

static RamBlock *block_called(GArray *blocks, const char *name)
{
    return (RamBlock *)ram_blocks_find(blocks, name);
}

static void resize(GArray *blocks, const char *name, uint64_t len_bytes)
{
    block_called(blocks, name)->used_bytes = len_bytes;
    block_called(blocks, name)->total_bytes = len_bytes;
}

static void assert_fits(const GArray *blocks, LoadPolicy policy)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    GError *error = NULL;

    machine_check_blocks(&snapshot, blocks, policy, warnings, &error);
    assert_no_error(error);
    assert_int_equal(warnings->len, 0);
}

static void assert_fits_with_warning(const GArray *blocks, const char *text)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    GError *error = NULL;

    machine_check_blocks(&snapshot, blocks, LOAD_POLICY_FULL, warnings, &error);
    assert_no_error(error);
    assert_int_equal(warnings->len, 1);
    assert_non_null(strstr(warnings->pdata[0], text));
}

static void assert_misfit(const GArray *blocks, LoadPolicy policy,
                          const char *text)
{
    GError *error = NULL;

    assert_false(machine_check_blocks(&snapshot, blocks, policy, NULL, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, text);
}

static void the_machine_that_was_saved_fits(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    assert_fits(blocks, LOAD_POLICY_ORDER);
    assert_fits(blocks, LOAD_POLICY_FULL);
}

static void another_ram_size_is_told_with_the_option_to_give(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    resize(blocks, "pc.ram", 2048 * MIB);
    assert_misfit(blocks, LOAD_POLICY_ORDER,
                  "vm.snap: RAM block pc.ram is 1 GiB in the snapshot but 2 "
                  "GiB in this machine; start QEMU with -m 1G");
}

static void another_backend_size_is_told_with_the_size_to_give(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    resize(blocks, "mem1", 256 * MIB);
    assert_misfit(blocks, LOAD_POLICY_ORDER,
                  "start QEMU with a size of 512M for it");
}

static void a_small_block_of_another_length_is_told(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    resize(blocks, "sram A1", MIB / 2);
    assert_misfit(blocks, LOAD_POLICY_ORDER, "RAM block sram A1 is 1 MiB");
    resize(blocks, "sram A1", 3 * MIB / 2);
    assert_misfit(blocks, LOAD_POLICY_ORDER, "RAM block sram A1 is 1 MiB");
}

static void qemu_loads_blocks_of_other_lengths_whose_pages_fit(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    resize(blocks, "pc.ram", 2048 * MIB);
    assert_fits_with_warning(blocks, "RAM block pc.ram is 1 GiB in the "
                                     "snapshot but 2 GiB in this machine");
    resize(blocks, "pc.ram", 1024 * MIB);
    resize(blocks, "grown", MIB / 2);
    assert_fits_with_warning(blocks, "RAM block grown is 1 MiB");
}

static void qemu_loads_no_page_beyond_a_block(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    resize(blocks, "grown", MIB / 4);
    assert_misfit(blocks, LOAD_POLICY_FULL,
                  "RAM block grown is 1 MiB in the "
                  "snapshot but 256 KiB");
    block_called(blocks, "grown")->total_bytes = 2 * MIB;
    assert_misfit(blocks, LOAD_POLICY_ORDER,
                  "RAM block grown is 1 MiB in the "
                  "snapshot but 256 KiB");
}

static void a_block_that_the_machine_lacks_is_named(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    g_array_remove_index(blocks, 1);
    assert_misfit(blocks, LOAD_POLICY_ORDER,
                  "RAM block mem1 (512 MiB) is in the snapshot but not in "
                  "this machine");
    assert_misfit(blocks, LOAD_POLICY_FULL, "RAM block mem1 (512 MiB)");
}

static void a_block_that_the_snapshot_lacks_is_left_alone(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    block_called(blocks, "")->name = (char *)"0000:00:04.0/vga.vram";
    assert_fits(blocks, LOAD_POLICY_ORDER);
    assert_fits(blocks, LOAD_POLICY_FULL);
}

static void a_block_that_can_grow_may_have_another_length(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    block_called(blocks, "tables")->used_bytes = MIB;
    assert_fits(blocks, LOAD_POLICY_ORDER);
    assert_fits(blocks, LOAD_POLICY_FULL);
}

static void a_block_cannot_grow_beyond_its_total(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    block_called(blocks, "tables")->used_bytes = 4096;
    block_called(blocks, "tables")->total_bytes = 8192;
    assert_misfit(blocks, LOAD_POLICY_ORDER, "RAM block tables");
}

static void pages_of_another_size_are_not_loaded_lazily(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    saved_blocks[0].page_bytes = 1024;
    saved_blocks[0].n_pages *= 4;
    assert_misfit(blocks, LOAD_POLICY_ORDER,
                  "vm.snap: RAM block pc.ram has pages of 1 KiB");
    assert_fits(blocks, LOAD_POLICY_FULL);
    set_up(state);
}

static void a_small_block_may_have_pages_of_any_size(void **state)
{
    g_autoptr(GArray) blocks = same_machine();

    saved_blocks[4].page_bytes = 256;
    saved_blocks[4].n_pages *= 16;
    assert_fits(blocks, LOAD_POLICY_ORDER);
    set_up(state);
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

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    const char *type = opaque;
    const char *path = json_string_value(json_object_get(arguments, "path"));

    if (g_str_equal(command, "human-monitor-command")) {
        return json_string("");
    }
    if (path && g_str_equal(path, "/machine/peripheral-anon")) {
        return json_pack("[{s:s, s:o}]", "name", "device[0]", "type",
                         json_sprintf("child<%s>", type));
    }
    return json_array();
}

static bool check(const char *type, GError **error)
{
    g_autoptr(GArray) blocks = g_array_new(FALSE, FALSE, sizeof(RamBlock));
    int fd;
    FakePeer *peer = fake_peer_new_qmp(answer, (void *)type, &fd);
    g_autoptr(Rpc) qmp = qmp_new(fd);
    json_t *greeting;
    bool ok;

    assert_true(rpc_greeting(qmp, "QMP", -1, &greeting, NULL));
    json_decref(greeting);
    ok = machine_check_devices(qmp, getpid(), blocks, NULL, error);
    fake_peer_free(peer);
    return ok;
}

static void an_ordinary_machine_can_be_loaded_lazily(void **state)
{
    GError *error = NULL;

    check("virtio-net-pci", &error);
    assert_no_error(error);
}

static void who_reaches_ram_past_qemu_is_refused_with_a_way_out(void **state)
{
    GError *error = NULL;

    assert_false(check("vfio-pci", &error));
    assert_util_error(error, UTIL_ERROR_FAILED,
                      "/machine/peripheral-anon/device[0] (vfio-pci): this "
                      "machine cannot be loaded lazily, because it pins guest "
                      "RAM for the hardware; load it with --policy full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_that_was_saved_fits),
        cmocka_unit_test(another_ram_size_is_told_with_the_option_to_give),
        cmocka_unit_test(another_backend_size_is_told_with_the_size_to_give),
        cmocka_unit_test(a_small_block_of_another_length_is_told),
        cmocka_unit_test(qemu_loads_blocks_of_other_lengths_whose_pages_fit),
        cmocka_unit_test(qemu_loads_no_page_beyond_a_block),
        cmocka_unit_test(a_block_that_the_machine_lacks_is_named),
        cmocka_unit_test(a_block_that_the_snapshot_lacks_is_left_alone),
        cmocka_unit_test(a_block_that_can_grow_may_have_another_length),
        cmocka_unit_test(a_block_cannot_grow_beyond_its_total),
        cmocka_unit_test(pages_of_another_size_are_not_loaded_lazily),
        cmocka_unit_test(a_small_block_may_have_pages_of_any_size),
        cmocka_unit_test(large_writable_blocks_are_lazy),
        cmocka_unit_test(read_only_and_small_blocks_are_not_lazy),
        cmocka_unit_test(an_ordinary_machine_can_be_loaded_lazily),
        cmocka_unit_test(who_reaches_ram_past_qemu_is_refused_with_a_way_out),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
