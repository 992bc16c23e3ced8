/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/range-command.h"

#include "cli/order-output.h"
#include "cli/range-options.h"

static bool change_ranges(const char *path, RangeChange change,
                          const RangeOptions *options, const OrderOutput *to,
                          GError **error)
{
    g_autoptr(PageOrder) order = NULL;
    g_autoptr(PageOrder) changed = NULL;
    g_autoptr(GArray) ranges = NULL;

    if (!order_output_check(to, error)) {
        return false;
    }
    order = page_order_load(path, error);
    if (!order) {
        return false;
    }
    ranges = range_options_resolve(options, order, error);
    if (!ranges) {
        return false;
    }
    changed = change(order, ranges);
    return order_output_write(to, changed, path, error);
}

int range_command_run(const Command *command, RangeChange change, int argc,
                      char **argv)
{
    g_auto(RangeOptions) options = {0};
    g_auto(OrderOutput) to = {0};
    const GOptionEntry entries[] = {
        RANGE_OPTIONS(&options),
        ORDER_OUTPUT_OPTIONS(&to),
        {NULL},
    };
    GError *error = NULL;
    int status;

    if (!command_parse(command, entries, 1, 1, &argc, &argv, &status)) {
        return status;
    }
    if (!change_ranges(argv[1], change, &options, &to, &error)) {
        return command_fail(error);
    }
    return STATUS_OK;
}
