/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/manifest-command.h"
#include "formats/manifest.h"
#include "util/units.h"

static void print_machine(const Manifest *manifest)
{
    command_print("saved      %s, %s", manifest->created, manifest->run_state);
    command_print("identity   %s", manifest->identity);
    command_print("order      %s", manifest->order ? manifest->order : "none");
    command_print("machine    %s, %" PRIu64 " x %s, %s", manifest->machine_type,
                  manifest->n_cpus, manifest->cpu_model, manifest->accelerator);
    command_print("qemu       %s, version %s", manifest->qemu_program,
                  manifest->qemu_version);
    command_print("directory  %s", manifest->qemu_directory);
}

static void print_blocks(const Manifest *manifest)
{
    for (guint i = 0; i < manifest->blocks->len; i++) {
        const ManifestBlock *block =
            &g_array_index(manifest->blocks, ManifestBlock, i);
        g_autofree char *size = units_format_size(block->len_bytes);

        command_print("RAM block  %s, %s", block->name, size);
    }
}

static void print_disks(const Manifest *manifest)
{
    for (guint i = 0; i < manifest->disks->len; i++) {
        const ManifestDisk *disk =
            &g_array_index(manifest->disks, ManifestDisk, i);

        command_print("disk       %s, %s, %s, %s", manifest_disk_name(disk),
                      disk->file, disk->format,
                      manifest_handling_name(disk->handling));
    }
}

static void print_resources(const Manifest *manifest)
{
    for (guint i = 0; i < manifest->resources->len; i++) {
        const ManifestResource *resource =
            &g_array_index(manifest->resources, ManifestResource, i);

        command_print("%-10s %s", manifest_resource_kind_name(resource->kind),
                      resource->value);
    }
}

static int print(const Manifest *manifest, bool json)
{
    if (json) {
        g_autofree char *text = manifest_to_text(manifest);

        fputs(text, stdout);
        return command_flush();
    }
    print_machine(manifest);
    print_blocks(manifest);
    print_disks(manifest);
    print_resources(manifest);
    return command_flush();
}

static int cmd_snapshot_show_run(int argc, char **argv)
{
    return manifest_command_run(&cmd_snapshot_show, argc, argv, print);
}

const Command cmd_snapshot_show = {
    .name = "show",
    .synopsis = "FILE",
    .summary = "Print the machine that was saved",
    .run = cmd_snapshot_show_run,
};
