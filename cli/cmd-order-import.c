/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "formats/file-kind.h"
#include "formats/page-order.h"
#include "util/error.h"

#define READ_CHUNK_BYTES 65536

/* All of standard input, NUL-terminated; its length is text->len. */
static GString *read_stdin(GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char chunk[READ_CHUNK_BYTES];
    size_t n;

    while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0) {
        g_string_append_len(text, chunk, (gssize)n);
    }
    if (ferror(stdin)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "cannot read standard input");
        return NULL;
    }
    return g_steal_pointer(&text);
}

/* Of what is no regular file, a pipe say, nobody can tell. */
static bool check_kind(const char *path, GError **error)
{
    g_autoptr(ByteSource) source = byte_source_open(path, NULL);

    return !source || file_kind_expect(source, FILE_KIND_ORDER_JSON, error);
}

static PageOrder *read_json(const char *path, GError **error)
{
    g_autofree char *file_text = NULL;
    g_autoptr(GString) input = NULL;
    const char *name = path;
    PageOrder *order;
    size_t len;

    if (strcmp(path, "-") == 0) {
        input = read_stdin(error);
        if (!input) {
            return NULL;
        }
        name = "standard input";
        order = page_order_from_json_text(input->str, input->len, error);
    } else {
        if (!check_kind(path, error) ||
            !g_file_get_contents(path, &file_text, &len, error)) {
            return NULL;
        }
        order = page_order_from_json_text(file_text, len, error);
    }
    if (!order) {
        g_prefix_error(error, "%s: ", name);
    }
    return order;
}

static int cmd_order_import_run(int argc, char **argv)
{
    g_autofree char *output = NULL;
    const GOptionEntry entries[] = {
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
         "The order file to write", "FILE"},
        {NULL},
    };
    g_autoptr(PageOrder) order = NULL;
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_import, entries, 0, 1, &argc, &argv,
                       &status)) {
        return status;
    }
    if (!output) {
        return command_usage_error("--output is required");
    }
    order = read_json(argc > 1 ? argv[1] : "-", &error);
    if (!order || !page_order_save(order, output, &error)) {
        return command_fail(error);
    }
    return STATUS_OK;
}

const Command cmd_order_import = {
    .name = "import",
    .synopsis = "-o FILE [JSON-FILE|-]",
    .summary = "Read an order from JSON",
    .run = cmd_order_import_run,
};
