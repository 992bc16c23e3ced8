/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The process looked at is the test's own; a fake answers for QEMU.
 */
#include <string.h>
#include <unistd.h>

#include "host/disks.h"
#include "host/machine-manifest.h"
#include "host/qmp.h"
#include "tests/host/fake-peer.h"
#include "tests/util/support.h"

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    const char *path = json_string_value(json_object_get(arguments, "path"));
    const char *blocks = opaque;

    if (strcmp(command, "query-version") == 0) {
        return json_pack("{s:{s:i, s:i, s:i}}", "qemu", "major", 10, "minor", 0,
                         "micro", 2);
    }
    if (strcmp(command, "query-cpus-fast") == 0) {
        return json_pack("[{s:s}, {s:s}]", "qom-path", "/machine/cpu[0]",
                         "qom-path", "/machine/cpu[1]");
    }
    if (strcmp(command, "query-kvm") == 0) {
        return json_pack("{s:b}", "enabled", 1);
    }
    if (strcmp(command, "query-block") == 0) {
        return json_loads(blocks, 0, NULL);
    }
    if (strcmp(command, "qom-get") == 0) {
        return json_string(strcmp(path, "/machine") == 0 ? "pc-q35-10.0-machine"
                                                         : "host-x86_64-cpu");
    }
    return json_object();
}

static Manifest *collect(const char *blocks, GError **error)
{
    FakePeer *peer;
    Rpc *qmp = fake_peer_connect_qmp(answer, (void *)blocks, &peer);
    g_autoptr(Manifest) manifest = NULL;
    bool ok = false;

    g_autoptr(GArray) disks = disks_query(qmp, "/", error);
    if (disks) {
        manifest = machine_manifest_collect(qmp, getpid(), error);
        ok = manifest && machine_manifest_add_disks(manifest, disks, error);
    }
    rpc_free(qmp);
    fake_peer_free(peer);
    return ok ? g_steal_pointer(&manifest) : NULL;
}

static void the_machine_is_described_as_it_runs(void **state)
{
    GError *error = NULL;
    g_autoptr(Manifest) manifest = collect("[]", &error);
    g_autofree char *directory = g_get_current_dir();

    assert_no_error(error);
    assert_string_equal(manifest->qemu_version, "10.0.2");
    assert_string_equal(manifest->machine_type, "pc-q35-10.0");
    assert_string_equal(manifest->cpu_model, "host-x86_64-cpu");
    assert_string_equal(manifest->accelerator, "kvm");
    assert_int_equal(manifest->n_cpus, 2);
    assert_string_equal(manifest->qemu_directory, directory);
    assert_true(g_str_has_suffix(manifest->qemu_program,
                                 "/test-host-machine-manifest"));
    assert_null(manifest->qemu_arguments[0]);
}

static void a_disk_is_described_with_what_tells_whether_it_changes(void **state)
{
    char *directory = make_directory();
    g_autofree char *file = g_build_filename(directory, "a.qcow2", NULL);
    g_autofree char *blocks = g_strdup_printf(
        "[{\"device\": \"d0\", \"inserted\": {\"node-name\": \"n\", \"file\": "
        "\"%s\", \"drv\": \"qcow2\", \"ro\": true, \"image\": {\"filename\": "
        "\"%s\"}}}]",
        file, file);
    GError *error = NULL;

    assert_true(g_file_set_contents(file, "12345", 5, NULL));
    g_autoptr(Manifest) manifest = collect(blocks, &error);
    assert_no_error(error);
    const ManifestDisk *disk = &g_array_index(manifest->disks, ManifestDisk, 0);
    assert_string_equal(disk->file, file);
    assert_int_equal(disk->len_bytes, 5);
    assert_int_equal(disk->handling, MANIFEST_DISK_READ_ONLY);
    assert_false(disk->has_argument);
    remove_directory(directory);
}

/* Another disk has the base, too. */
static void a_disk_belongs_to_the_argument_of_its_uppermost_image(void **state)
{
    char *arguments[] = {(char *)"-drive", (char *)"file=base,readonly=on",
                         (char *)"-drive", (char *)"file=/d/upper", NULL};
    char *chain[] = {(char *)"/", (char *)"/d/upper", (char *)"/d/base", NULL};
    const Disk disk = {.node = (char *)"n",
                       .file = (char *)"/",
                       .format = (char *)"qcow2",
                       .chain = chain};
    g_autoptr(Manifest) manifest = manifest_new();
    g_autoptr(GArray) disks = g_array_new(FALSE, FALSE, sizeof(Disk));
    GError *error = NULL;

    g_array_append_val(disks, disk);
    manifest->qemu_arguments = g_strdupv(arguments);
    manifest->qemu_directory = g_strdup("/d");
    machine_manifest_add_disks(manifest, disks, &error);
    assert_no_error(error);
    const ManifestDisk *to = &g_array_index(manifest->disks, ManifestDisk, 0);
    assert_true(to->has_argument);
    assert_int_equal(to->argument, 3);
    assert_string_equal(to->given_file, "/d/upper");
}

static void a_disk_that_is_gone_is_told_by_name(void **state)
{
    static const char blocks[] =
        "[{\"device\": \"d0\", \"inserted\": {\"node-name\": \"n\", \"file\": "
        "\"/nowhere/a\", \"drv\": \"raw\", \"ro\": false}}]";
    GError *error = NULL;

    assert_null(collect(blocks, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "/nowhere/a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_is_described_as_it_runs),
        cmocka_unit_test(
            a_disk_is_described_with_what_tells_whether_it_changes),
        cmocka_unit_test(a_disk_belongs_to_the_argument_of_its_uppermost_image),
        cmocka_unit_test(a_disk_that_is_gone_is_told_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
