/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/image-file.h"
#include "cli/image-offset.h"
#include "cli/prefetch.h"
#include "cli/progress.h"
#include "formats/page-order.h"
#include "util/text.h"
#include "util/units.h"

/* The options as they were given. */
typedef struct Given {
    char *offset;
    char *tag;
    char *order;
    char *rate;
} Given;

static void given_clear(Given *given)
{
    g_free(given->offset);
    g_free(given->tag);
    g_free(given->order);
    g_free(given->rate);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Given, given_clear)

static int print_result(const char *path, const PrefetchResult *result,
                        bool json)
{
    double seconds = (double)result->us / 1e6;

    if (json) {
        return command_print_json(
            json_pack("{s:o, s:I, s:I, s:I}", "snapshot", text_to_json(path),
                      "pages", (json_int_t)result->n_pages, "bytes-read",
                      (json_int_t)result->n_bytes, "total-ms",
                      (json_int_t)(result->us / 1000)));
    }
    g_autofree char *size = units_format_size(result->n_bytes);
    command_print("%s: %" PRIu64
                  " pages are in the page cache; %s read in %.2f s",
                  path, result->n_pages, size, seconds);
    return command_flush();
}

static bool parse(const Given *given, uint64_t *ret_off_bytes,
                  uint64_t *ret_rate, GError **error)
{
    uint64_t rate = 0;

    if (given->rate && !units_parse_size(given->rate, &rate, error)) {
        g_prefix_error(error, "--rate: ");
        return false;
    }
    *ret_rate = rate;
    return image_offset_parse(given->offset, ret_off_bytes, error);
}

static bool prefetch(const char *path, const Given *given,
                     PrefetchResult *ret_result, GError **error)
{
    g_autoptr(ProgressBar) bar = progress_bar_new();
    g_autoptr(PageOrder) order = NULL;
    uint64_t off_bytes, rate;

    if (!parse(given, &off_bytes, &rate, error)) {
        return false;
    }
    if (given->order && !(order = page_order_load(given->order, error))) {
        return false;
    }
    g_autoptr(RamImage) image =
        image_file_open(path, given->tag, off_bytes, error);
    if (!image) {
        return false;
    }
    if (order && order->identity &&
        strcmp(order->identity, image->identity) != 0) {
        command_warn(
            "%s was recorded for another snapshot than %s; it may not help",
            given->order, path);
    }
    return prefetch_run(image, order, rate, progress_bar_progress(bar),
                        ret_result, error);
}

static int cmd_prefetch_run(int argc, char **argv)
{
    g_auto(Given) given = {0};
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"order", 0, 0, G_OPTION_ARG_FILENAME, &given.order,
         "Read only the pages of this page-access order, in its sequence",
         "FILE"},
        {"rate", 0, 0, G_OPTION_ARG_STRING, &given.rate,
         "Read at most this much per second", "BYTES"},
        IMAGE_OFFSET_OPTION(&given.offset),
        IMAGE_TAG_OPTION(&given.tag),
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    PrefetchResult result;
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_prefetch, entries, 1, 1, &argc, &argv, &status)) {
        return status;
    }
    return prefetch(argv[1], &given, &result, &error)
               ? print_result(argv[1], &result, json)
               : command_fail(error);
}

const Command cmd_prefetch = {
    .name = "prefetch",
    .synopsis = "FILE [--order FILE] [--rate BYTES]",
    .summary = "Read a snapshot's pages into the page cache",
    .run = cmd_prefetch_run,
};
