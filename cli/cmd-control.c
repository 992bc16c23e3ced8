/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <unistd.h>

#include "cli/commands.h"
#include "formats/control-protocol.h"
#include "host/plugin-client.h"
#include "util/error.h"

/* How long the plugin may take for what it answers at once, and QEMU to end. */
#define ANSWER_TIMEOUT_MS 30000
#define QUIT_TIMEOUT_MS   15000

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
                    "the arguments are not a JSON object: %s",
                    arguments ? text : json_error.text);
        json_decref(arguments);
        return false;
    }
    *ret_arguments = arguments;
    return true;
}

/* Whether the plugin answers the command at once, or within seconds. */
static bool is_prompt(const char *command)
{
    static const char *const commands[] = {CONTROL_CMD_QUERY, CONTROL_CMD_RETRY,
                                           CONTROL_CMD_PROFILE_QUERY, NULL};

    return g_strv_contains(commands, command);
}

/* Steals arguments.  A QEMU that ends does not answer. */
static bool execute_quit(Rpc *control, json_t *arguments, json_t **ret_answer,
                         GError **error)
{
    g_autoptr(GError) local = NULL;

    rpc_set_answer_timeout(control, QUIT_TIMEOUT_MS);
    if (rpc_execute(control, CONTROL_CMD_QUIT, arguments, ret_answer, &local)) {
        return true;
    }
    if (g_error_matches(local, UTIL_ERROR, UTIL_ERROR_CLOSED)) {
        *ret_answer = json_object();
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&local));
    if (g_error_matches(*error, UTIL_ERROR, UTIL_ERROR_TIMEOUT)) {
        g_prefix_error(
            error, "QEMU was killed but has not ended yet; the kernel ends it "
                   "when the storage that it waits for answers or fails: ");
    }
    return false;
}

/* Steals arguments. */
static bool execute(Rpc *control, const char *command, json_t *arguments,
                    json_t **ret_answer, GError **error)
{
    if (g_str_equal(command, CONTROL_CMD_QUIT)) {
        return execute_quit(control, arguments, ret_answer, error);
    }
    if (is_prompt(command)) {
        rpc_set_answer_timeout(control, ANSWER_TIMEOUT_MS);
    }
    return rpc_execute(control, command, arguments, ret_answer, error);
}

static int connect_and_execute(const char *socket_path, int pid,
                               const char *command, const char *arguments_text)
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
    if (!execute(control, command, arguments, &answer, &error)) {
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
        {"pid", 0, 0, G_OPTION_ARG_INT, &pid, "The QEMU with this process ID",
         "PID"},
        {NULL},
    };
    int status;

    if (!command_parse(&cmd_control, entries, 1, 2, &argc, &argv, &status)) {
        return status;
    }
    if ((socket_path != NULL) == (pid > 0)) {
        return command_usage_error("--qmp or --pid is required");
    }
    if (!g_utf8_validate(argv[1], -1, NULL)) {
        return command_usage_error("the command is not UTF-8");
    }
    return connect_and_execute(socket_path, pid, argv[1], argv[2]);
}

const Command cmd_control = {
    .name = "control",
    .synopsis = "(--qmp SOCKET|--pid PID) COMMAND [JSON-ARGUMENTS]",
    .summary = "Send a command to the plugin in a running QEMU",
    .run = cmd_control_run,
};
