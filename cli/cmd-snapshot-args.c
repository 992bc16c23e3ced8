/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/manifest-command.h"
#include "formats/manifest.h"

static void print_quoted(const char *text)
{
    g_autofree char *quoted = g_shell_quote(text);
    gboolean is_plain =
        text[0] && !text[strcspn(text, " \t\n'\"\\$`*?[]{}()<>|&;~#!")];

    fputs(is_plain ? text : quoted, stdout);
}

static json_t *to_json(const Manifest *manifest)
{
    json_t *list = json_array();

    json_array_append_new(list, json_string(manifest->qemu_program));
    for (size_t i = 0; manifest->qemu_arguments[i]; i++) {
        json_array_append_new(list, json_string(manifest->qemu_arguments[i]));
    }
    return list;
}

static int print_command(const Manifest *manifest)
{
    print_quoted(manifest->qemu_program);
    for (size_t i = 0; manifest->qemu_arguments[i]; i++) {
        putchar(' ');
        print_quoted(manifest->qemu_arguments[i]);
    }
    putchar('\n');
    return command_flush();
}

static int print(const Manifest *manifest, bool json)
{
    return json ? command_print_json(to_json(manifest))
                : print_command(manifest);
}

static int cmd_snapshot_args_run(int argc, char **argv)
{
    return manifest_command_run(&cmd_snapshot_args, argc, argv, print);
}

const Command cmd_snapshot_args = {
    .name = "args",
    .synopsis = "FILE",
    .summary = "Print QEMU's command line, quoted for a shell",
    .run = cmd_snapshot_args_run,
};
