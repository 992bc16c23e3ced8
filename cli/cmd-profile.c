/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"
#include "formats/control-protocol.h"
#include "host/plugin-client.h"

static int execute(const char *socket_path, const char *command)
{
    g_autoptr(Rpc) control = NULL;
    GError *error = NULL;
    json_t *answer;

    control = plugin_client_connect_by_qmp(socket_path, &error);
    if (!control || !rpc_execute(control, command, NULL, &answer, &error)) {
        return command_fail(error);
    }
    return command_print_json(answer);
}

static int run_command(const Command *command, const char *control_command,
                       int argc, char **argv)
{
    g_autofree char *socket_path = NULL;
    const GOptionEntry entries[] = {
        {"qmp", 0, 0, G_OPTION_ARG_FILENAME, &socket_path,
         "QMP socket of the QEMU that is being profiled", "SOCKET"},
        {NULL},
    };
    int status;

    if (!command_parse(command, entries, 0, 0, &argc, &argv, &status)) {
        return status;
    }
    if (!socket_path) {
        return command_usage_error("--qmp is required");
    }
    return execute(socket_path, control_command);
}

static const Command cmd_profile_status;
static const Command cmd_profile_stop;

static int run_status(int argc, char **argv)
{
    return run_command(&cmd_profile_status, CONTROL_CMD_PROFILE_QUERY, argc,
                       argv);
}

static int run_stop(int argc, char **argv)
{
    return run_command(&cmd_profile_stop, CONTROL_CMD_PROFILE_STOP, argc, argv);
}

static const Command cmd_profile_status = {
    .name = "status",
    .synopsis = "--qmp SOCKET",
    .summary = "Print the progress of profiling as JSON",
    .run = run_status,
};

static const Command cmd_profile_stop = {
    .name = "stop",
    .synopsis = "--qmp SOCKET",
    .summary = "End profiling now, and print the result as JSON",
    .run = run_stop,
};

static int cmd_profile_run(int argc, char **argv)
{
    static const Command *const table[] = {
        &cmd_profile_stop,
        &cmd_profile_status,
        NULL,
    };

    return command_dispatch(table, argc, argv);
}

const Command cmd_profile = {
    .name = "profile",
    .synopsis = "COMMAND",
    .summary = "Inspect or end the profiling window of savevm --profile",
    .run = cmd_profile_run,
};
