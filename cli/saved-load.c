/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/saved-load.h"

#include "cli/command.h"
#include "cli/load-report.h"
#include "formats/file-kind.h"
#include "host/qemu-args.h"
#include "util/error.h"

void saved_load_clear(SavedLoad *load, bool was_loaded)
{
    saved_command_free(load->command, was_loaded);
    manifest_free(load->manifest);
    g_strfreev(load->sets);
    g_free(load->keep_disks);
}

bool saved_load_open_beside(SavedLoad *load, const char *snapshot,
                            GError **error)
{
    g_autofree char *path = manifest_path(snapshot);
    g_autoptr(GError) local = NULL;

    if (load->sets || load->keep_disks) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--set and --keep-disks are for a load that takes QEMU's "
                    "arguments from the manifest, without \"--\" and --qmp");
        return false;
    }
    if (g_file_test(path, G_FILE_TEST_EXISTS)) {
        load->manifest = manifest_load(path, &local);
    }
    if (local) {
        command_warn("%s", local->message);
    }
    return true;
}

/* Whether that is what is wrong, or the file itself. */
static bool fail_without_manifest(const char *snapshot, const char *manifest,
                                  GError **error)
{
    g_autoptr(ByteSource) source = byte_source_open(snapshot, error);

    if (source && file_kind_expect(source, FILE_KIND_SNAPSHOT, error)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "QEMU's command line is missing: write it after \"--\".  "
                    "(There is no manifest %s to take it from)",
                    manifest);
    }
    return false;
}

bool saved_load_open(SavedLoad *load, const char *snapshot, char *const *argv,
                     GError **error)
{
    g_autofree char *path = manifest_path(snapshot);

    if (argv) {
        return qemu_args_check_given(argv, error) &&
               saved_load_open_beside(load, snapshot, error);
    }
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        return fail_without_manifest(snapshot, path, error);
    }
    load->manifest = manifest_load(path, error);
    return load->manifest != NULL;
}

char *saved_load_order(const SavedLoad *load, const char *snapshot)
{
    g_autofree char *folder = g_path_get_dirname(snapshot);

    return load->manifest && load->manifest->order
               ? g_build_filename(folder, load->manifest->order, NULL)
               : NULL;
}

bool saved_load_prepare(SavedLoad *load, LoadOptions *options, GError **error)
{
    options->manifest = load->manifest;
    if (options->qemu_argv) {
        return true;
    }
    load->options = (SavedCommandOptions){
        .sets = load->sets,
        .keep_disks = load->keep_disks,
        .say = options->say,
        .placed = load_report_placed,
        .opaque = options->tell_opaque,
    };
    load->command = saved_command_new(load->manifest, &load->options, error);
    if (!load->command) {
        return false;
    }
    options->qemu_argv = saved_command_argv(load->command);
    options->argv_is_saved = true;
    saved_command_enter(load->command);
    return true;
}
