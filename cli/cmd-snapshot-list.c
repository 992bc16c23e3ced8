/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>

#include "cli/commands.h"
#include "host/snapshot-list.h"
#include "util/text.h"
#include "util/units.h"

static json_t *text_or_null(const char *text)
{
    return text ? text_to_json(text) : json_null();
}

static json_t *disk_files(const Manifest *manifest)
{
    json_t *files = json_array();

    for (guint i = 0; manifest && i < manifest->disks->len; i++) {
        json_array_append_new(
            files,
            json_string(g_array_index(manifest->disks, ManifestDisk, i).file));
    }
    return files;
}

static json_t *entry_to_json(const ListedSnapshot *snapshot)
{
    const Manifest *manifest = snapshot->manifest;
    const RamImage *image = snapshot->image;

    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o}", "name",
        text_to_json(snapshot->name), "path", text_to_json(snapshot->path),
        "created", text_or_null(manifest ? manifest->created : NULL),
        "run-state", text_or_null(manifest ? manifest->run_state : NULL),
        "machine", text_or_null(image ? image->machine : NULL), "identity",
        text_or_null(image ? image->identity : NULL), "ram",
        (json_int_t)(image ? image->ram_bytes : 0), "stored",
        (json_int_t)snapshot->stored_bytes, "disks", disk_files(manifest),
        "order", text_or_null(manifest ? manifest->order : NULL), "problem",
        text_or_null(snapshot->problem));
}

static int print_json(const GPtrArray *list)
{
    json_t *entries = json_array();

    for (guint i = 0; i < list->len; i++) {
        json_array_append_new(entries, entry_to_json(list->pdata[i]));
    }
    return command_print_json(entries);
}

static void print_entry(const ListedSnapshot *snapshot)
{
    const Manifest *manifest = snapshot->manifest;
    const RamImage *image = snapshot->image;
    g_autofree char *ram = units_format_size(image ? image->ram_bytes : 0);
    g_autofree char *stored = units_format_size(snapshot->stored_bytes);

    command_print("%-20s  %-20s  %-10s  %-16s %10s %10s %5u  %s",
                  snapshot->name, manifest ? manifest->created : "-",
                  manifest ? manifest->run_state : "-",
                  image ? image->machine : "-", ram, stored,
                  manifest ? manifest->disks->len : 0,
                  manifest && manifest->order ? "yes" : "-");
    if (snapshot->problem) {
        command_print("    %s", snapshot->problem);
    }
}

static int print_text(const GPtrArray *list)
{
    printf("%-20s  %-20s  %-10s  %-16s %10s %10s %5s  %s\n", "name", "saved",
           "state", "machine", "RAM", "on disk", "disks", "order");
    for (guint i = 0; i < list->len; i++) {
        print_entry(list->pdata[i]);
    }
    return command_flush();
}

static int cmd_snapshot_list_run(int argc, char **argv)
{
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_snapshot_list, entries, 0, 1, &argc, &argv,
                       &status)) {
        return status;
    }
    g_autoptr(GPtrArray) list = snapshot_list(argc > 1 ? argv[1] : ".", &error);
    if (!list) {
        return command_fail(error);
    }
    return json ? print_json(list) : print_text(list);
}

const Command cmd_snapshot_list = {
    .name = "list",
    .synopsis = "[DIR]",
    .summary = "List the snapshots in a directory",
    .run = cmd_snapshot_list_run,
};
