/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"
#include "host/snapshot-removal.h"
#include "util/text.h"

static json_t *to_json(const SnapshotRemoval *removal, bool dry_run)
{
    json_t *removed = json_array();
    json_t *kept = json_array();

    for (guint i = 0; i < removal->files->len; i++) {
        json_array_append_new(removed, text_to_json(removal->files->pdata[i]));
    }
    for (guint i = 0; i < removal->kept->len; i++) {
        const KeptFile *file = &g_array_index(removal->kept, KeptFile, i);

        json_array_append_new(
            kept, json_pack("{s:o, s:o}", "file", text_to_json(file->path),
                            "reason", text_to_json(file->reason)));
    }
    return json_pack("{s:b, s:o, s:o}", "dry-run", (int)dry_run, "removed",
                     removed, "kept", kept);
}

static void print_line(const char *what, const char *path, const char *reason)
{
    command_print("%-12s %s%s%s", what, path, reason ? ": " : "",
                  reason ? reason : "");
}

static int print_text(const SnapshotRemoval *removal, bool dry_run)
{
    for (guint i = 0; i < removal->files->len; i++) {
        print_line(dry_run ? "would remove" : "removed",
                   removal->files->pdata[i], NULL);
    }
    for (guint i = 0; i < removal->kept->len; i++) {
        const KeptFile *file = &g_array_index(removal->kept, KeptFile, i);

        print_line(dry_run ? "would keep" : "kept", file->path, file->reason);
    }
    return command_flush();
}

static int cmd_snapshot_remove_run(int argc, char **argv)
{
    gboolean dry_run = FALSE;
    gboolean images = FALSE;
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run,
         "Only print what would be removed", NULL},
        {"images", 0, 0, G_OPTION_ARG_NONE, &images,
         "Also remove disk images that nothing needs", NULL},
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_snapshot_remove, entries, 1, 1, &argc, &argv,
                       &status)) {
        return status;
    }
    g_autoptr(SnapshotRemoval) removal =
        snapshot_removal_new(argv[1], images, &error);
    if (!removal || (!dry_run && !snapshot_removal_execute(removal, &error))) {
        return command_fail(error);
    }
    return json ? command_print_json(to_json(removal, dry_run))
                : print_text(removal, dry_run);
}

const Command cmd_snapshot_remove = {
    .name = "remove",
    .synopsis = "FILE",
    .summary = "Remove a snapshot and the files that only it needs",
    .run = cmd_snapshot_remove_run,
};
