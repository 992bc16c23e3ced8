/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"
#include "host/template-client.h"

static const Command cmd_template_status;
static const Command cmd_template_retry;
static const Command cmd_template_stop;

static int execute(const char *path, TemplateKind kind)
{
    GError *error = NULL;
    json_t *answer;

    if (!template_client_execute(path, kind, &answer, &error)) {
        return command_fail(error);
    }
    return answer ? command_print_json(answer) : STATUS_OK;
}

/* Of a command that takes a template's socket and nothing else. */
static int run_command(const Command *command, TemplateKind kind, int argc,
                       char **argv)
{
    const GOptionEntry entries[] = {{NULL}};
    int status;

    return command_parse(command, entries, 1, 1, &argc, &argv, &status)
               ? execute(argv[1], kind)
               : status;
}

static int run_status(int argc, char **argv)
{
    return run_command(&cmd_template_status, TEMPLATE_STATUS, argc, argv);
}

static int run_retry(int argc, char **argv)
{
    return run_command(&cmd_template_retry, TEMPLATE_RETRY, argc, argv);
}

static int run_stop(int argc, char **argv)
{
    return run_command(&cmd_template_stop, TEMPLATE_STOP, argc, argv);
}

static const Command cmd_template_status = {
    .name = "status",
    .synopsis = "SOCKET",
    .summary = "Tell what a template has, and who uses it, as JSON",
    .run = run_status,
};

static const Command cmd_template_retry = {
    .name = "retry",
    .synopsis = "SOCKET",
    .summary = "Try again to read the pages that a template could not",
    .run = run_retry,
};

static const Command cmd_template_stop = {
    .name = "stop",
    .synopsis = "SOCKET",
    .summary = "End a template; clones that have all their pages run on",
    .run = run_stop,
};

static int cmd_template_run(int argc, char **argv)
{
    static const Command *const table[] = {
        &cmd_template_start, &cmd_template_take, &cmd_template_status,
        &cmd_template_retry, &cmd_template_stop, NULL,
    };

    return command_dispatch(table, argc, argv);
}

const Command cmd_template = {
    .name = "template",
    .synopsis = "COMMAND",
    .summary = "Hold a snapshot in memory for many machines",
    .run = cmd_template_run,
};
