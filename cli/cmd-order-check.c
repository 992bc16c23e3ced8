/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/image-offset.h"
#include "cli/order-fit.h"
#include "formats/page-order.h"
#include "formats/ram-image.h"

static bool compare(const PageOrder *order, const char *path,
                    const char *snapshot_path, uint64_t off_bytes,
                    OrderFit *ret_fit, GError **error)
{
    g_autoptr(RamImage) snapshot =
        ram_image_open(snapshot_path, off_bytes, error);

    if (!snapshot) {
        return false;
    }
    if (!order_fit_compare(order, snapshot, ret_fit, error)) {
        g_prefix_error(error, "%s does not fit %s: ", path, snapshot_path);
        return false;
    }
    return true;
}

/* fit: NULL without a snapshot. */
static int print_result(const char *path, const PageOrder *order,
                        const OrderFit *fit, bool json)
{
    if (json) {
        json_t *result =
            json_pack("{s:I}", "extents", (json_int_t)order->extents->len);

        if (fit) {
            json_object_set_new(result, "pages",
                                json_integer((json_int_t)fit->n_pages));
            json_object_set_new(result, "pages-in-file",
                                json_integer((json_int_t)fit->n_in_file));
        }
        return command_print_json(result);
    }
    printf("%s: valid order with %u extents\n", path, order->extents->len);
    if (fit) {
        printf("%s: fits the snapshot; %" PRIu64 " of its %" PRIu64
               " pages are in the snapshot's file, the others are zero\n",
               path, fit->n_in_file, fit->n_pages);
    }
    return command_flush();
}

static int check(const char *path, const char *snapshot_path,
                 uint64_t off_bytes, bool json)
{
    GError *error = NULL;
    g_autoptr(PageOrder) order = page_order_load(path, &error);
    OrderFit fit;

    if (!order || (snapshot_path && !compare(order, path, snapshot_path,
                                             off_bytes, &fit, &error))) {
        return command_fail(error);
    }
    return print_result(path, order, snapshot_path ? &fit : NULL, json);
}

static int cmd_order_check_run(int argc, char **argv)
{
    g_autofree char *snapshot_path = NULL;
    g_autofree char *offset = NULL;
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"snapshot", 0, 0, G_OPTION_ARG_FILENAME, &snapshot_path,
         "Check the order against this snapshot", "FILE"},
        IMAGE_OFFSET_OPTION(&offset),
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    uint64_t off_bytes;
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_check, entries, 1, 1, &argc, &argv,
                       &status)) {
        return status;
    }
    if (!image_offset_parse(offset, &off_bytes, &error)) {
        return command_fail(error);
    }
    return check(argv[1], snapshot_path, off_bytes, json);
}

const Command cmd_order_check = {
    .name = "check",
    .synopsis = "FILE [--snapshot FILE]",
    .summary = "Check an order, also against a snapshot",
    .run = cmd_order_check_run,
};
