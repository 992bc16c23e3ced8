/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/machine-manifest.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "host/disks.h"
#include "host/image-state.h"
#include "host/qemu-args.h"
#include "host/qemu-command.h"
#include "util/error.h"

/* A command line is no longer, as far as Linux lets processes have one. */
#define MAX_CMDLINE_BYTES (8 << 20)

/* ---- QEMU's process ---- */

static char *proc_path(pid_t pid, const char *name)
{
    return g_strdup_printf("/proc/%d/%s", (int)pid, name);
}

static char *read_link(pid_t pid, const char *name, GError **error)
{
    g_autofree char *path = proc_path(pid, name);
    char *target = g_file_read_link(path, error);

    /* What was replaced since it was started, by an update say, has its
     * successor under the same name. */
    if (target && g_str_has_suffix(target, " (deleted)")) {
        target[strlen(target) - strlen(" (deleted)")] = '\0';
    }
    return target;
}

/* The arguments as they ran, argv[0] first; for g_strfreev(). */
static char **read_cmdline(pid_t pid, GError **error)
{
    g_autofree char *path = proc_path(pid, "cmdline");
    g_autoptr(GPtrArray) arguments = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *text = NULL;
    gsize len_bytes;

    if (!g_file_get_contents(path, &text, &len_bytes, error)) {
        return NULL;
    }
    if (len_bytes == 0 || len_bytes > MAX_CMDLINE_BYTES) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: there is no command line", path);
        return NULL;
    }
    for (gsize at = 0; at < len_bytes; at += strlen(&text[at]) + 1) {
        g_ptr_array_add(arguments, g_strdup(&text[at]));
    }
    g_ptr_array_add(arguments, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&arguments), FALSE);
}

static bool collect_process(Manifest *manifest, pid_t pid, GError **error)
{
    g_auto(GStrv) argv = read_cmdline(pid, error);

    if (!argv) {
        return false;
    }
    manifest->qemu_program = read_link(pid, "exe", error);
    manifest->qemu_directory =
        manifest->qemu_program ? read_link(pid, "cwd", error) : NULL;
    if (!manifest->qemu_directory) {
        return false;
    }
    manifest->qemu_arguments = qemu_args_without_ours(argv + 1);
    return true;
}

/* ---- the machine ---- */

static bool query_version(Manifest *manifest, Rpc *qmp, GError **error)
{
    int major = 0, minor = 0, micro = 0;
    json_t *value;

    if (!rpc_execute(qmp, "query-version", NULL, &value, error)) {
        return false;
    }
    json_unpack(value, "{s:{s:i, s:i, s:i}}", "qemu", "major", &major, "minor",
                &minor, "micro", &micro);
    json_decref(value);
    manifest->qemu_version = g_strdup_printf("%d.%d.%d", major, minor, micro);
    return true;
}

static json_t *type_of(const char *path)
{
    return json_pack("{s:s, s:s}", "path", path, "property", "type");
}

/* The QOM type of the object at path; for g_free(). */
static char *query_type(Rpc *qmp, const char *path, GError **error)
{
    json_t *value;

    if (!rpc_execute(qmp, "qom-get", type_of(path), &value, error)) {
        return NULL;
    }
    char *type = g_strdup(json_string_value(value));
    json_decref(value);
    if (!type) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "QEMU does not report the type of %s", path);
    }
    return type;
}

static bool query_machine_type(Manifest *manifest, Rpc *qmp, GError **error)
{
    char *type = query_type(qmp, "/machine", error);

    if (type && g_str_has_suffix(type, "-machine")) {
        type[strlen(type) - strlen("-machine")] = '\0';
    }
    manifest->machine_type = type;
    return type != NULL;
}

static bool query_cpus(Manifest *manifest, Rpc *qmp, GError **error)
{
    json_t *cpus;

    if (!rpc_execute(qmp, "query-cpus-fast", NULL, &cpus, error)) {
        return false;
    }
    const char *path =
        json_string_value(json_object_get(json_array_get(cpus, 0), "qom-path"));
    manifest->n_cpus = json_array_size(cpus);
    manifest->cpu_model = path ? query_type(qmp, path, error) : g_strdup("");
    json_decref(cpus);
    return manifest->cpu_model != NULL;
}

static bool query_accelerator(Manifest *manifest, Rpc *qmp, GError **error)
{
    json_t *value;

    if (!rpc_execute(qmp, "query-kvm", NULL, &value, error)) {
        return false;
    }
    manifest->accelerator = g_strdup(
        json_is_true(json_object_get(value, "enabled")) ? "kvm" : "tcg");
    json_decref(value);
    return true;
}

/* ---- disks ---- */

/* Whether one of the options names the file at path. */
static bool find_named(ManifestDisk *to, const char *path,
                       const GArray *options, const char *directory)
{
    for (guint i = 0; i < options->len && !to->has_argument; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);
        g_autofree char *file = qemu_command_disk_file(option);
        g_autofree char *named =
            file ? g_canonicalize_filename(file, directory) : NULL;

        if (g_strcmp0(named, path) == 0) {
            to->has_argument = true;
            to->argument = option->argument;
            to->given_file = g_steal_pointer(&file);
        }
    }
    return to->has_argument;
}

/* Which argument named the disk: QEMU may have begun with any file of its
 * chain.  The uppermost counts: one further below may be another disk's, too.
 */
static void find_argument(ManifestDisk *to, const Disk *disk,
                          const Manifest *manifest)
{
    g_autoptr(GArray) options = qemu_command_options(manifest->qemu_arguments);

    for (size_t i = 0; disk->chain[i]; i++) {
        if (find_named(to, disk->chain[i], options, manifest->qemu_directory)) {
            return;
        }
    }
}

static bool look_at_file(ManifestDisk *to, GError **error)
{
    struct stat st;

    if (stat(to->file, &st) < 0) {
        util_error_set_errno(error, errno, "the disk's image %s", to->file);
        return false;
    }
    image_state_note(to, &st);
    return true;
}

static bool add_disk(Manifest *manifest, const Disk *disk, GError **error)
{
    g_array_set_size(manifest->disks, manifest->disks->len + 1);
    ManifestDisk *to =
        &g_array_index(manifest->disks, ManifestDisk, manifest->disks->len - 1);

    to->node = g_strdup(disk->node);
    to->device = g_strdup(disk->device);
    to->qdev = g_strdup(disk->qdev);
    to->file = g_strdup(disk->file);
    to->format = g_strdup(disk->format);
    to->handling = disk->read_only ? MANIFEST_DISK_READ_ONLY
                   : disk->overlay ? MANIFEST_DISK_OVERLAY
                                   : MANIFEST_DISK_LEFT;
    find_argument(to, disk, manifest);
    return look_at_file(to, error);
}

bool machine_manifest_add_disks(Manifest *manifest, const GArray *disks,
                                GError **error)
{
    for (guint i = 0; i < disks->len; i++) {
        const Disk *disk = &g_array_index(disks, Disk, i);

        /* What is not a file is the concern of whoever names it. */
        if (disk->file && !add_disk(manifest, disk, error)) {
            return false;
        }
    }
    return true;
}

/* ---- all of it ---- */

static char *now_as_text(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();

    return g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
}

bool machine_manifest_ask_ahead(Rpc *qmp, GError **error)
{
    return rpc_ask_ahead(qmp, "qom-get", type_of("/machine"), error) &&
           rpc_ask_ahead(qmp, "query-cpus-fast", NULL, error) &&
           rpc_ask_ahead(qmp, "query-kvm", NULL, error);
}

bool machine_manifest_ask(Manifest *manifest, Rpc *qmp, GError **error)
{
    return query_machine_type(manifest, qmp, error) &&
           query_cpus(manifest, qmp, error) &&
           query_accelerator(manifest, qmp, error);
}

Manifest *machine_manifest_collect(Rpc *qmp, pid_t pid, GError **error)
{
    g_autoptr(Manifest) manifest = manifest_new();

    manifest->created = now_as_text();
    if (!collect_process(manifest, pid, error) ||
        !query_version(manifest, qmp, error) ||
        !machine_manifest_ask(manifest, qmp, error)) {
        return NULL;
    }
    g_array_unref(manifest->resources);
    manifest->resources = qemu_command_resources(manifest->qemu_arguments);
    return g_steal_pointer(&manifest);
}

void machine_manifest_set_image(Manifest *manifest, const RamImage *image)
{
    manifest->identity = g_strdup(image->identity);
    for (size_t i = 0; i < image->n_blocks; i++) {
        const ManifestBlock block = {
            .name = g_strdup(image->blocks[i].name),
            .len_bytes = image->blocks[i].len_bytes,
            .page_bytes = image->blocks[i].page_bytes,
        };

        g_array_append_val(manifest->blocks, block);
    }
}
