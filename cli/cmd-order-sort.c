/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "cli/commands.h"
#include "cli/order-output.h"
#include "cli/phase-options.h"
#include "profiler/orders/sort.h"
#include "util/error.h"

static bool parse_key(const char *text, OrderSortKey *ret_key, GError **error)
{
    static const struct {
        const char *name;
        OrderSortKey key;
    } keys[] = {
        {"time", ORDER_SORT_TIME},
        {"address", ORDER_SORT_ADDRESS},
        {"phase", ORDER_SORT_PHASE},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (text && strcmp(text, keys[i].name) == 0) {
            *ret_key = keys[i].key;
            return true;
        }
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                "--by is required: time, address or phase");
    return false;
}

static bool sort(const char *path, const char *by, PhaseOptions *phase,
                 const OrderOutput *to, GError **error)
{
    g_autoptr(PageOrder) order = NULL;
    g_autoptr(PageOrder) sorted = NULL;
    OrderSortKey key;

    if (!parse_key(by, &key, error) || !phase_options_parse(phase, error) ||
        !order_output_check(to, error)) {
        return false;
    }
    order = page_order_load(path, error);
    if (!order) {
        return false;
    }
    sorted = order_sort(order, key, phase->max_bytes, phase->quiet_us);
    return order_output_write(to, sorted, path, error);
}

static int cmd_order_sort_run(int argc, char **argv)
{
    g_autofree char *by = NULL;
    g_auto(PhaseOptions) phase = {0};
    g_auto(OrderOutput) to = {0};
    const GOptionEntry entries[] = {
        {"by", 0, 0, G_OPTION_ARG_STRING, &by,
         "By time of first touch, by block and address, or by address inside "
         "each phase",
         "time|address|phase"},
        PHASE_OPTIONS(&phase),
        ORDER_OUTPUT_OPTIONS(&to),
        {NULL},
    };
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_sort, entries, 1, 1, &argc, &argv, &status)) {
        return status;
    }
    if (!sort(argv[1], by, &phase, &to, &error)) {
        return command_fail(error);
    }
    return STATUS_OK;
}

const Command cmd_order_sort = {
    .name = "sort",
    .synopsis = "FILE",
    .summary = "Sort the pages of an order",
    .run = cmd_order_sort_run,
};
