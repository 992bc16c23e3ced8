/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "formats/file-kind.h"
#include "formats/page-order.h"
#include "util/file.h"

static bool save(const char *text, const char *path, GError **error)
{
    if (!file_kind_check_replaceable(path, FILE_KIND_ORDER_JSON, error)) {
        return false;
    }
    if (!file_replace(path, text, strlen(text), error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    return true;
}

static int export(const PageOrder *order, const char *output)
{
    g_autofree char *text = page_order_to_json_text(order);
    GError *error = NULL;

    if (!output) {
        fputs(text, stdout);
        return command_flush();
    }
    return save(text, output, &error) ? STATUS_OK : command_fail(error);
}

static int cmd_order_export_run(int argc, char **argv)
{
    g_autofree char *output = NULL;
    const GOptionEntry entries[] = {
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
         "Write to FILE instead of standard output", "FILE"},
        {NULL},
    };
    g_autoptr(PageOrder) order = NULL;
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_export, entries, 1, 1, &argc, &argv,
                       &status)) {
        return status;
    }
    order = page_order_load(argv[1], &error);
    return order ? export(order, output) : command_fail(error);
}

const Command cmd_order_export = {
    .name = "export",
    .synopsis = "FILE",
    .summary = "Write an order as JSON",
    .run = cmd_order_export_run,
};
