/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/commands.h"
#include "cli/order-output.h"
#include "cli/order-set.h"
#include "profiler/orders/merge.h"
#include "util/error.h"

#define NOT_GIVEN G_MININT64

typedef struct MergeOptions {
    gboolean intersection;
    gint64 at_least; /* or NOT_GIVEN */
    gboolean force;
} MergeOptions;

static bool find_min_orders(const MergeOptions *options, size_t n,
                            size_t *ret_min_orders, GError **error)
{
    bool has_at_least = options->at_least != NOT_GIVEN;

    if (options->intersection && has_at_least) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--intersection cannot be used with --at-least");
        return false;
    }
    if (has_at_least &&
        (options->at_least < 1 || (guint64)options->at_least > n)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_USAGE,
                    "--at-least: with %zu orders, it must be from 1 to %zu", n,
                    n);
        return false;
    }
    *ret_min_orders = options->intersection ? n
                      : has_at_least        ? (size_t)options->at_least
                                            : 1;
    return true;
}

static bool merge(char **paths, size_t n, const MergeOptions *options,
                  const OrderOutput *to, GError **error)
{
    g_autoptr(GPtrArray) orders = NULL;
    g_autoptr(PageOrder) merged = NULL;
    size_t min_orders;

    if (!find_min_orders(options, n, &min_orders, error) ||
        !order_output_check(to, error)) {
        return false;
    }
    orders = order_set_load(paths, n, options->force, error);
    if (!orders) {
        return false;
    }
    merged = order_merge((const PageOrder *const *)orders->pdata, n, min_orders,
                         error);
    return merged && order_output_write(to, merged, paths[0], error);
}

static int cmd_order_merge_run(int argc, char **argv)
{
    MergeOptions options = {.at_least = NOT_GIVEN};
    g_auto(OrderOutput) to = {0};
    const GOptionEntry entries[] = {
        {"intersection", 0, 0, G_OPTION_ARG_NONE, &options.intersection,
         "Keep only pages that all orders have", NULL},
        {"at-least", 0, 0, G_OPTION_ARG_INT64, &options.at_least,
         "Keep only pages that at least N orders have", "N"},
        {"force", 'f', 0, G_OPTION_ARG_NONE, &options.force,
         "Merge orders of different snapshots", NULL},
        ORDER_OUTPUT_OPTIONS(&to),
        {NULL},
    };
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_merge, entries, 1, -1, &argc, &argv,
                       &status)) {
        return status;
    }
    if (!merge(argv + 1, argc - 1, &options, &to, &error)) {
        return command_fail(error);
    }
    return STATUS_OK;
}

const Command cmd_order_merge = {
    .name = "merge",
    .synopsis = "FILE…",
    .summary = "Merge the orders of several runs",
    .run = cmd_order_merge_run,
};
