/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/image-choice.h"
#include "cli/order-fit.h"
#include "formats/page-order.h"
#include "formats/ram-image.h"

static bool compare(const PageOrder *order, const char *path,
                    const ImageChoice *choice, OrderFit *ret_fit,
                    GError **error)
{
    g_autoptr(RamImage) snapshot = NULL;

    if (!image_choice_open(choice, &snapshot, error)) {
        return false;
    }
    if (snapshot && !order_fit_compare(order, snapshot, ret_fit, error)) {
        g_prefix_error(error, "%s does not fit %s: ", path, choice->path);
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

static int check(const char *path, const ImageChoice *choice, bool json)
{
    GError *error = NULL;
    g_autoptr(PageOrder) order = page_order_load(path, &error);
    OrderFit fit;

    if (!order || !compare(order, path, choice, &fit, &error)) {
        return command_fail(error);
    }
    return print_result(path, order, choice->path ? &fit : NULL, json);
}

static int cmd_order_check_run(int argc, char **argv)
{
    g_auto(ImageChoice) choice = {0};
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        IMAGE_CHOICE_OPTIONS(&choice, "Check the order against this snapshot"),
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    int status;

    if (!command_parse(&cmd_order_check, entries, 1, 1, &argc, &argv,
                       &status)) {
        return status;
    }
    return check(argv[1], &choice, json);
}

const Command cmd_order_check = {
    .name = "check",
    .synopsis = "FILE [--snapshot FILE]",
    .summary = "Check an order, also against a snapshot",
    .run = cmd_order_check_run,
};
