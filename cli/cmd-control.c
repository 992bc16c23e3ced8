/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <unistd.h>

#include "cli/commands.h"
#include "host/plugin-client.h"
#include "util/error.h"

/* NULL text: no arguments. */
static bool parse_arguments(const char *text, json_t **ret_arguments,
                            GError **error)
{
    json_error_t json_error;
    json_t *arguments;

    if (!text) {
        *ret_arguments = NULL;
        return true;
    }
    arguments = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    if (!json_is_object(arguments)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "the arguments are no JSON object: %s",
                    arguments ? text : json_error.text);
        json_decref(arguments);
        return false;
    }
    *ret_arguments = arguments;
    return true;
}

static int execute(const char *socket_path, int pid, const char *command,
                   const char *arguments_text)
{
    g_autoptr(Rpc) control = NULL;
    json_t *arguments, *answer;
    GError *error = NULL;

    if (!parse_arguments(arguments_text, &arguments, &error)) {
        return command_fail(error);
    }
    control = socket_path ? plugin_client_connect_by_qmp(socket_path, &error)
                          : plugin_client_connect(pid, geteuid(), &error);
    if (!control) {
        json_decref(arguments);
        return command_fail(error);
    }
    if (!rpc_execute(control, command, arguments, &answer, &error)) {
        return command_fail(error);
    }
    return command_print_json(answer);
}

static int cmd_control_run(int argc, char **argv)
{
    g_autofree char *socket_path = NULL;
    int pid = 0;
    const GOptionEntry entries[] = {
        {"qmp", 0, 0, G_OPTION_ARG_FILENAME, &socket_path,
         "The QEMU that listens on this QMP socket", "SOCKET"},
        {"pid", 0, 0, G_OPTION_ARG_INT, &pid, "The QEMU of this process ID",
         "PID"},
        {NULL},
    };
    int status;

    if (!command_parse(&cmd_control, entries, 1, 2, &argc, &argv, &status)) {
        return status;
    }
    if ((socket_path != NULL) == (pid > 0)) {
        return command_usage_error("either --qmp or --pid is needed");
    }
    if (!g_utf8_validate(argv[1], -1, NULL)) {
        return command_usage_error("the command is not UTF-8");
    }
    return execute(socket_path, pid, argv[1], argv[2]);
}

const Command cmd_control = {
    .name = "control",
    .synopsis = "(--qmp SOCKET|--pid PID) COMMAND [JSON-ARGUMENTS]",
    .summary = "Send a command to the plugin in a running QEMU",
    .run = cmd_control_run,
};
