/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <unistd.h>

#include "cli/commands.h"
#include "host/qemu-args.h"
#include "host/qemu-loadvm.h"
#include "util/error.h"

static int start(char **qemu_argv, int plugin_api)
{
    GError *error = NULL;
    g_autofree char *plugin = NULL;
    g_auto(GStrv) with_mapped_ram = NULL;
    g_auto(GStrv) argv = NULL;

    if (qemu_args_check_given(qemu_argv, &error)) {
        plugin = qemu_args_find_plugin(&error);
    }
    if (!plugin) {
        return command_fail(error);
    }
    qemu_args_set_plugin_api(plugin_api);
    if (qemu_loadvm_is_mapped_ram(qemu_argv)) {
        with_mapped_ram = qemu_args_with_mapped_ram(qemu_argv);
        qemu_argv = with_mapped_ram;
    }
    argv = qemu_args_for_run(qemu_argv, plugin);
    execvp(argv[0], argv);
    util_error_set_errno(&error, errno, "cannot start %s", argv[0]);
    return command_fail(error);
}

static int cmd_run_run(int argc, char **argv)
{
    int plugin_api = 0;
    const GOptionEntry entries[] = {
        PLUGIN_API_OPTION(&plugin_api),
        {NULL},
    };
    char **qemu_argv = command_split(&argc, argv);
    int status;

    if (!command_check_split(argc, argv, &status) ||
        !command_parse(&cmd_run, entries, 0, 0, &argc, &argv, &status)) {
        return status;
    }
    return start(qemu_argv, plugin_api);
}

const Command cmd_run = {
    .name = "run",
    .synopsis = "-- QEMU ARGUMENTS…",
    .summary = "Start QEMU with the plugin",
    .run = cmd_run_run,
};
