/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/image-choice.h"
#include "cli/interrupts.h"
#include "cli/order-packing.h"
#include "cli/progress.h"
#include "formats/pack.h"
#include "util/error.h"
#include "util/text.h"
#include "util/units.h"

/* The options as they were given. */
typedef struct Given {
    ImageChoice image;
    char *output;
} Given;

static void given_clear(Given *given)
{
    image_choice_clear(&given->image);
    g_free(given->output);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Given, given_clear)

static int print_result(const char *path, const PackingResult *result,
                        bool json)
{
    if (json) {
        return command_print_json(json_pack(
            "{s:o, s:I, s:I, s:I, s:I}", "pack", text_to_json(path), "pages",
            (json_int_t)result->n_pages, "bytes", (json_int_t)result->n_bytes,
            "chunks", (json_int_t)result->n_chunks, "stored-bytes",
            (json_int_t)result->stored_bytes));
    }
    g_autofree char *size = units_format_size(result->n_bytes);
    g_autofree char *stored = units_format_size(result->stored_bytes);
    command_print("%s: %" PRIu64 " pages, %s, packed to %s", path,
                  result->n_pages, size, stored);
    return command_flush();
}

static bool pack(const char *order_path, const char *path, const Given *given,
                 PackingResult *ret_result, GError **error)
{
    g_autoptr(ProgressBar) bar = progress_bar_new();
    g_autoptr(RamImage) image = NULL;

    if (!given->image.path) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "say what the pages are taken from: --snapshot FILE");
        return false;
    }
    g_autoptr(PageOrder) order = page_order_load(order_path, error);
    if (!order || !image_choice_open(&given->image, &image, error)) {
        return false;
    }
    if (order->identity && strcmp(order->identity, image->identity) != 0) {
        command_warn("%s: recorded for another snapshot than %s; the pack may "
                     "not help",
                     order_path, given->image.path);
    }
    int interrupt_fd = interrupts_open();
    bool ok = order_packing_run(order, image, path, interrupt_fd,
                                progress_bar_progress(bar), ret_result, error);
    interrupts_close(interrupt_fd);
    return ok;
}

static int cmd_order_pack_run(int argc, char **argv)
{
    g_auto(Given) given = {0};
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        IMAGE_CHOICE_OPTIONS(
            &given.image,
            "Take the pages from this snapshot, which the pack is for"),
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &given.output,
         "Write the pack to FILE (ORDER.pack, where loadvm looks for it)",
         "FILE"},
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    PackingResult result;
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_pack, entries, 1, 1, &argc, &argv, &status)) {
        return status;
    }
    g_autofree char *beside = g_strconcat(argv[1], PACK_SUFFIX, NULL);
    const char *path = given.output ? given.output : beside;
    return pack(argv[1], path, &given, &result, &error)
               ? print_result(path, &result, json)
               : command_fail(error);
}

const Command cmd_order_pack = {
    .name = "pack",
    .synopsis = "ORDER --snapshot FILE",
    .summary = "Write an order's pages, compressed, into a file of their own",
    .run = cmd_order_pack_run,
};
