/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "formats/error.h"
#include "formats/manifest.h"
#include "tests/formats/support.h"

static Manifest *sample(void)
{
    static const char *const arguments[] = {"-m", "1G", "-qmp",
                                            "unix:/run/q.sock,server=on", NULL};
    Manifest *manifest = manifest_new();
    const ManifestBlock block = {g_strdup("pc.ram"), 1 << 30, 4096};
    const ManifestDisk disk = {
        .node = g_strdup("#block1"),
        .device = g_strdup("d0"),
        .file = g_strdup("/var/disk.qcow2"),
        .format = g_strdup("qcow2"),
        .handling = MANIFEST_DISK_LEFT,
        .len_bytes = 12345,
        .mtime_ns = 1764000000000000000,
        .inode = 7,
        .has_argument = true,
        .argument = 1,
        .given_file = g_strdup("disk.qcow2"),
    };
    const ManifestResource socket = {3, MANIFEST_SOCKET,
                                     g_strdup("/run/q.sock")};

    manifest->created = g_strdup("2026-11-25T13:02:41Z");
    manifest->identity = g_strdup("ab12");
    manifest->order = g_strdup("vm.snap.order");
    manifest->run_state = g_strdup("running");
    manifest->qemu_program = g_strdup("/usr/bin/qemu-system-x86_64");
    manifest->qemu_version = g_strdup("10.0.2");
    manifest->qemu_directory = g_strdup("/home/me");
    manifest->qemu_arguments = g_strdupv((char **)arguments);
    manifest->machine_type = g_strdup("pc-i440fx-10.0");
    manifest->accelerator = g_strdup("tcg");
    manifest->cpu_model = g_strdup("qemu64-x86_64-cpu");
    manifest->n_cpus = 2;
    g_array_append_val(manifest->blocks, block);
    g_array_append_val(manifest->disks, disk);
    g_array_append_val(manifest->resources, socket);
    return manifest;
}

static Manifest *parse(const char *text, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    g_autoptr(ByteSource) source = byte_source_new_memory(bytes, "m.json");

    return manifest_load_source(source, error);
}

/* The sample's text with one piece of it replaced. */
static char *changed(const char *from, const char *to)
{
    g_autoptr(Manifest) manifest = sample();
    g_autofree char *text = manifest_to_text(manifest);
    g_auto(GStrv) parts = g_strsplit(text, from, 2);

    assert_non_null(parts[1]);
    return g_strjoinv(to, parts);
}

static void assert_refused(const char *from, const char *to, FormatsError code,
                           const char *text)
{
    g_autofree char *json = changed(from, to);
    GError *error = NULL;

    assert_null(parse(json, &error));
    assert_error(error, code, text);
}

static void what_is_written_is_read_again(void **state)
{
    g_autoptr(Manifest) manifest = sample();
    g_autofree char *text = manifest_to_text(manifest);
    GError *error = NULL;
    g_autoptr(Manifest) again = parse(text, &error);

    assert_no_error(error);
    g_autofree char *second = manifest_to_text(again);
    assert_string_equal(second, text);
    const ManifestDisk *disk = &g_array_index(again->disks, ManifestDisk, 0);
    assert_string_equal(disk->file, "/var/disk.qcow2");
    assert_null(disk->qdev);
    assert_int_equal(disk->handling, MANIFEST_DISK_LEFT);
    assert_int_equal(disk->mtime_ns, 1764000000000000000);
    assert_string_equal(again->qemu_arguments[1], "1G");
    assert_int_equal(again->n_cpus, 2);
}

static void a_snapshot_without_an_order_has_none(void **state)
{
    g_autofree char *text = changed("\"vm.snap.order\"", "null");
    g_autoptr(Manifest) manifest = parse(text, NULL);

    assert_non_null(manifest);
    assert_null(manifest->order);
}

static void another_kind_of_file_is_told_as_that(void **state)
{
    GError *error = NULL;

    assert_refused("preheat-manifest", "preheat-page-order",
                   FORMATS_ERROR_NOT_THIS,
                   "m.json: this is a page-access "
                   "order as JSON, not a snapshot's "
                   "manifest");
    assert_null(parse("[1]", &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS, "m.json: not the manifest");
    error = NULL;
    assert_null(parse("QEVM", &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS,
                 "a snapshot, not a snapshot's manifest");
    error = NULL;
    assert_null(parse("", &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS, "an empty file, not a");
}

static void a_later_version_is_refused(void **state)
{
    assert_refused("\"version\": 1,", "\"version\": 2,", FORMATS_ERROR_VERSION,
                   "2 is not known");
}

static void a_mistake_is_told_with_its_place(void **state)
{
    assert_refused("\"cpus\": 2", "\"cpus\": -2", FORMATS_ERROR_MALFORMED,
                   "machine.cpus: -2");
    assert_refused("\"inode\": 7", "\"inode\": \"7\"", FORMATS_ERROR_MALFORMED,
                   "disks[0].inode: must be a whole number");
    assert_refused("\"left\"", "\"gone\"", FORMATS_ERROR_MALFORMED,
                   "disks[0].handling: \"gone\" is not known");
    assert_refused("\"length\": 1073741824", "\"size\": 1",
                   FORMATS_ERROR_MALFORMED, "ram-blocks[0].size: unknown key");
    assert_refused("\"-m\",", "7,", FORMATS_ERROR_MALFORMED,
                   "qemu.arguments: entry 0");
    assert_refused("\"created\"", "\"colour\"", FORMATS_ERROR_MALFORMED,
                   "colour: unknown key");
}

static void a_path_that_leads_elsewhere_is_refused(void **state)
{
    assert_refused("\"vm.snap.order\"", "\"../x.order\"",
                   FORMATS_ERROR_MALFORMED, "order: \"../x.order\"");
    assert_refused("\"/var/disk.qcow2\"", "\"disk.qcow2\"",
                   FORMATS_ERROR_MALFORMED, "not an absolute path");
    assert_refused("\"/usr/bin/qemu-system-x86_64\"", "\"qemu\"",
                   FORMATS_ERROR_MALFORMED, "qemu.program");
}

static void a_resource_of_no_argument_is_refused(void **state)
{
    assert_refused("\"argument\": 3", "\"argument\": 4",
                   FORMATS_ERROR_MALFORMED, "entry 0 belongs to argument 4");
    assert_refused("\"argument\": 1", "\"argument\": 4",
                   FORMATS_ERROR_MALFORMED, "disks: entry 0 belongs to");
    assert_refused("\"argument\": 1", "\"argument\": null",
                   FORMATS_ERROR_MALFORMED, "disks[0].argument");
    assert_refused("\"given-file\": \"disk.qcow2\"", "\"given-file\": null",
                   FORMATS_ERROR_MALFORMED, "disks[0].given-file");
}

static void what_is_not_utf8_is_not_written(void **state)
{
    g_autoptr(Manifest) manifest = sample();
    GError *error = NULL;

    g_free(manifest->qemu_arguments[1]);
    manifest->qemu_arguments[1] = g_strdup("caf\xe9");
    assert_false(manifest_save(manifest, "/nowhere/m.json", &error));
    assert_error(error, FORMATS_ERROR_UNSUPPORTED, "not UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_snapshot_without_an_order_has_none),
        cmocka_unit_test(another_kind_of_file_is_told_as_that),
        cmocka_unit_test(a_later_version_is_refused),
        cmocka_unit_test(a_mistake_is_told_with_its_place),
        cmocka_unit_test(a_path_that_leads_elsewhere_is_refused),
        cmocka_unit_test(a_resource_of_no_argument_is_refused),
        cmocka_unit_test(what_is_not_utf8_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
