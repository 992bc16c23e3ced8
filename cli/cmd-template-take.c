/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"
#include "host/template-client.h"

#define DEFAULT_TIMEOUT_S 30.0
#define MAX_TIMEOUT_S     86400.0

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* In the words of preheat loadvm. */
static int print_machine(json_t *machine)
{
    double after_ms = json_number_value(json_object_get(machine, "after-ms"));
    bool is_paused = json_is_true(json_object_get(machine, "paused"));
    const json_t *placed;
    size_t i;

    json_array_foreach(json_object_get(machine, "placed"), i, placed)
    {
        command_print("the %s %s is %s", text_of(placed, "kind"),
                      text_of(placed, "saved"), text_of(placed, "path"));
    }
    command_print("the guest %s after %.3f s, in process %" JSON_INTEGER_FORMAT,
                  is_paused ? "is loaded, and stays paused," : "runs",
                  after_ms / 1000,
                  json_integer_value(json_object_get(machine, "pid")));
    json_decref(machine);
    return command_flush();
}

static int take(const char *path, double timeout_s, bool json)
{
    GError *error = NULL;
    json_t *machine;

    if (!(timeout_s > 0 && timeout_s <= MAX_TIMEOUT_S)) {
        return command_usage_error(
            "--timeout must be a number of seconds up to 86400");
    }
    if (!template_client_take(path, (unsigned)(timeout_s * 1000), &machine,
                              &error)) {
        return command_fail(error);
    }
    return json ? command_print_json(machine) : print_machine(machine);
}

static int cmd_template_take_run(int argc, char **argv)
{
    double timeout_s = DEFAULT_TIMEOUT_S;
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"timeout", 0, 0, G_OPTION_ARG_DOUBLE, &timeout_s,
         "How long to wait for a machine (default: 30)", "SECONDS"},
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    int status;

    return command_parse(&cmd_template_take, entries, 1, 1, &argc, &argv,
                         &status)
               ? take(argv[1], timeout_s, json)
               : status;
}

const Command cmd_template_take = {
    .name = "take",
    .synopsis = "SOCKET",
    .summary = "Have a machine of a template's pool run its guest",
    .run = cmd_template_take_run,
};
