/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include "host/qmp.h"
#include "host/ram-blocks.h"
#include "tests/host/fake-peer.h"

/* QEMU 10.0.2: a pc machine with a pc-dimm and a memory backend that no
 * device uses. */
static const char pc_text[] =
    "              Block Name    PSize              Offset               Used"
    "              Total                HVA  RO\n"
    "                  pc.ram    4 KiB  0x0000000008000000 "
    "0x0000000010000000 0x0000000010000000 0x00007f7eafe00000  rw\n"
    "                      mm    2 MiB  0x0000000000000000 "
    "0x0000000008000000 0x0000000008000000 0x00007f7ec7e00000  rw\n"
    "                            4 KiB  0x0000000000000000 "
    "0x0000000000800000 0x0000000000800000 0x00007f725ca00000  rw\n"
    "    /rom@etc/acpi/tables    4 KiB  0x0000000019140000 "
    "0x0000000000020000 0x0000000000200000 0x00007f7ec5000000  ro\n"
    "0000:00:04.0/virtio-net-pci.rom    4 KiB  0x0000000019100000 "
    "0x0000000000040000 0x0000000000040000 0x00007f7ec5400000  ro\n\n";

/* QEMU 10.0.2: parts of orangepi-pc and mps3-an547, and a backend of a name
 * that looks like a page size. */
static const char blanks_text[] =
    "              Block Name    PSize              Offset               Used"
    "              Total                HVA  RO\n"
    "            orangepi.ram    4 KiB  0x0000000000000000 "
    "0x0000000040000000 0x0000000040000000 0x00007fb42be00000  rw\n"
    "                 sram A1    4 KiB  0x0000000040000000 "
    "0x0000000000010000 0x0000000000010000 0x00007fb471600000  rw\n"
    "                  sram 2    4 KiB  0x0000000080f00000 "
    "0x0000000000400000 0x0000000000400000 0x00007f1cd1800000  rw\n"
    "                   4 KiB    4 KiB  0x0000000080500000 "
    "0x0000000000200000 0x0000000000200000 0x00007f1cd2800000  ro\n"
    "allwinner-h3-dramc.row-mirror    4 KiB  0x0000000040030000 "
    "0x0000000000001000 0x0000000000001000 0x00007fb471000000  rw\n\n";

static GArray *parsed(const char *text)
{
    GError *error = NULL;
    GArray *blocks = ram_blocks_parse(text, &error);

    assert_no_error(error);
    assert_non_null(blocks);
    return blocks;
}

static void assert_block(const GArray *blocks, const char *name,
                         RamBlock expected)
{
    const RamBlock *block = ram_blocks_find(blocks, name);

    assert_non_null(block);
    assert_int_equal(block->page_bytes, expected.page_bytes);
    assert_int_equal(block->used_bytes, expected.used_bytes);
    assert_int_equal(block->total_bytes, expected.total_bytes);
    assert_int_equal(block->host, expected.host);
    assert_int_equal(block->writable, expected.writable);
}

static void every_field_of_a_block_is_read(void **state)
{
    g_autoptr(GArray) blocks = parsed(pc_text);

    assert_int_equal(blocks->len, 5);
    assert_block(
        blocks, "pc.ram",
        (RamBlock){NULL, 4096, 0x10000000, 0x10000000, 0x7f7eafe00000, true});
    assert_block(
        blocks, "/rom@etc/acpi/tables",
        (RamBlock){NULL, 4096, 0x20000, 0x200000, 0x7f7ec5000000, false});
}

static void huge_pages_are_read(void **state)
{
    g_autoptr(GArray) blocks = parsed(pc_text);

    assert_block(
        blocks, "mm",
        (RamBlock){NULL, 2 << 20, 0x8000000, 0x8000000, 0x7f7ec7e00000, true});
}

static void a_block_that_never_migrates_has_no_name(void **state)
{
    g_autoptr(GArray) blocks = parsed(pc_text);

    assert_block(
        blocks, "",
        (RamBlock){NULL, 4096, 0x800000, 0x800000, 0x7f725ca00000, true});
}

static void a_name_longer_than_its_column_is_read(void **state)
{
    g_autoptr(GArray) blocks = parsed(pc_text);

    assert_non_null(ram_blocks_find(blocks, "0000:00:04.0/virtio-net-pci.rom"));
}

static void a_name_with_blanks_is_read(void **state)
{
    g_autoptr(GArray) blocks = parsed(blanks_text);

    assert_int_equal(blocks->len, 5);
    assert_block(
        blocks, "sram A1",
        (RamBlock){NULL, 4096, 0x10000, 0x10000, 0x7fb471600000, true});
    assert_block(
        blocks, "sram 2",
        (RamBlock){NULL, 4096, 0x400000, 0x400000, 0x7f1cd1800000, true});
}

static void a_name_that_looks_like_a_page_size_is_read(void **state)
{
    g_autoptr(GArray) blocks = parsed(blanks_text);

    assert_block(
        blocks, "4 KiB",
        (RamBlock){NULL, 4096, 0x200000, 0x200000, 0x7f1cd2800000, false});
}

static void a_name_that_looks_like_a_whole_line_is_read(void **state)
{
    static const char name[] = "a 4 KiB 0x0 0x1000 0x1000 0x7f0000000000 rw";
    g_autofree char *text = g_strdup_printf(
        "%s    2 MiB  0x0 0x2000 0x3000 0x7f1000000000  ro\n", name);
    g_autoptr(GArray) blocks = parsed(text);

    assert_int_equal(blocks->len, 1);
    assert_block(
        blocks, name,
        (RamBlock){NULL, 2 << 20, 0x2000, 0x3000, 0x7f1000000000, false});
}

static void an_unknown_name_is_not_found(void **state)
{
    g_autoptr(GArray) blocks = parsed(pc_text);

    assert_null(ram_blocks_find(blocks, "pc.ra"));
}

static void carriage_returns_do_no_harm(void **state)
{
    g_autoptr(GArray) blocks =
        parsed("  a    4 KiB  0x0 0x1000 0x1000 0x7f0000000000  rw\r\n");

    assert_int_equal(blocks->len, 1);
}

static void no_block_at_all_is_an_empty_list(void **state)
{
    g_autoptr(GArray) blocks = parsed("");

    assert_int_equal(blocks->len, 0);
}

static void a_line_of_another_form_is_an_error_that_quotes_it(void **state)
{
    static const char *const lines[] = {
        "unknown command: 'info ramblock'",
        "a 4 KiB 0x0 0x1000 0x1000 0x7f0000000000",
        "a 4 KiB 0x0 0x1000 0x1000 rw",
        "a 4 KiB 0x0 0x1000 0x1000 0x11112222333344445 rw",
        "a many KiB 0x0 0x1000 0x1000 0x7f0000000000 rw",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        GError *error = NULL;

        assert_null(ram_blocks_parse(lines[i], &error));
        assert_util_error(error, UTIL_ERROR_PROTOCOL, lines[i]);
    }
}

static void a_block_is_told_to_the_plugin_with_its_address_in_hex(void **state)
{
    g_autoptr(GArray) blocks = parsed(pc_text);
    json_t *json = ram_block_to_json(ram_blocks_find(blocks, "mm"));
    json_t *expected =
        json_pack("{s:s, s:s, s:i, s:i}", "name", "mm", "host",
                  "0x7f7ec7e00000", "length", 0x8000000, "page-size", 2 << 20);

    assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);
}

/* ---- asking QEMU ---- */

/* What the fake QEMU knows; NULL: not that command. */
typedef struct Monitor {
    const char *query; /* text of x-query-ramblock */
    const char *human; /* text of `info ramblock` */
} Monitor;

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    const Monitor *monitor = opaque;

    *ret_refusal = "The command has not been found";
    if (g_str_equal(command, "x-query-ramblock") && monitor->query) {
        return json_pack("{s:s}", "human-readable-text", monitor->query);
    }
    if (g_str_equal(command, "human-monitor-command") && monitor->human) {
        return json_string(monitor->human);
    }
    return NULL;
}

static GArray *query(Monitor monitor, GError **error)
{
    int fd;
    FakePeer *peer = fake_peer_new_qmp(answer, &monitor, &fd);
    g_autoptr(Rpc) qmp = qmp_new(fd);
    json_t *greeting;
    GArray *blocks;

    assert_true(rpc_greeting(qmp, "QMP", -1, &greeting, NULL));
    json_decref(greeting);
    blocks = ram_blocks_query(qmp, error);
    fake_peer_free(peer);
    return blocks;
}

static void a_qemu_without_a_human_monitor_tells_its_blocks(void **state)
{
    GError *error = NULL;
    g_autoptr(GArray) blocks = query((Monitor){pc_text, NULL}, &error);

    assert_no_error(error);
    assert_int_equal(blocks->len, 5);
}

static void a_qemu_without_the_query_is_asked_by_its_human_monitor(void **state)
{
    GError *error = NULL;
    g_autoptr(GArray) blocks = query((Monitor){NULL, pc_text}, &error);

    assert_no_error(error);
    assert_int_equal(blocks->len, 5);
}

static void a_qemu_that_tells_no_blocks_is_an_error(void **state)
{
    GError *error = NULL;

    assert_null(query((Monitor){NULL, NULL}, &error));
    assert_util_error(error, UTIL_ERROR_REFUSED,
                      "cannot ask QEMU for its RAM blocks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_a_block_is_read),
        cmocka_unit_test(huge_pages_are_read),
        cmocka_unit_test(a_block_that_never_migrates_has_no_name),
        cmocka_unit_test(a_name_longer_than_its_column_is_read),
        cmocka_unit_test(a_name_with_blanks_is_read),
        cmocka_unit_test(a_name_that_looks_like_a_page_size_is_read),
        cmocka_unit_test(a_name_that_looks_like_a_whole_line_is_read),
        cmocka_unit_test(an_unknown_name_is_not_found),
        cmocka_unit_test(carriage_returns_do_no_harm),
        cmocka_unit_test(no_block_at_all_is_an_empty_list),
        cmocka_unit_test(a_line_of_another_form_is_an_error_that_quotes_it),
        cmocka_unit_test(a_block_is_told_to_the_plugin_with_its_address_in_hex),
        cmocka_unit_test(a_qemu_without_a_human_monitor_tells_its_blocks),
        cmocka_unit_test(
            a_qemu_without_the_query_is_asked_by_its_human_monitor),
        cmocka_unit_test(a_qemu_that_tells_no_blocks_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
