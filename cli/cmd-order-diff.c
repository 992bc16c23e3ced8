/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/order-set.h"
#include "profiler/orders/diff.h"

static void print_pages(const char *title, const PageOrder *order)
{
    printf("\n%s:\n", title);
    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        printf("%12.3f ms  %-24s %12" PRIu64 " %8" PRIu64 "\n",
               (double)extent->time_us / 1000,
               page_order_block(order, extent->span.block)->name,
               extent->span.first_page, extent->span.n_pages);
    }
}

static int print_text(const OrderDiff *diff, char **paths, bool list)
{
    printf("%s: %" PRIu64 " pages, %" PRIu64 " of them only here\n", paths[0],
           diff->n_pages_a, diff->n_pages_a - diff->n_pages_common);
    printf("%s: %" PRIu64 " pages, %" PRIu64 " of them only here\n", paths[1],
           diff->n_pages_b, diff->n_pages_b - diff->n_pages_common);
    printf("common            %" PRIu64 " pages\n", diff->n_pages_common);
    printf("overlap           %.4f (Jaccard: common of all pages)\n",
           diff->jaccard);
    if (isnan(diff->tau)) {
        printf("rank agreement    none: fewer than two common pages\n");
    } else {
        printf("rank agreement    %+.4f (Kendall's tau of the common "
               "pages)\n",
               diff->tau);
    }
    if (list) {
        g_autofree char *title_a = g_strdup_printf("Only in %s", paths[0]);
        g_autofree char *title_b = g_strdup_printf("Only in %s", paths[1]);

        print_pages(title_a, diff->only_a);
        print_pages(title_b, diff->only_b);
    }
    return command_flush();
}

static json_t *pages_to_json(const PageOrder *order)
{
    json_t *pages = json_array();

    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        json_array_append_new(
            pages, json_pack("{s:s, s:I, s:I, s:I}", "block",
                             page_order_block(order, extent->span.block)->name,
                             "page", (json_int_t)extent->span.first_page,
                             "count", (json_int_t)extent->span.n_pages,
                             "time-us", (json_int_t)extent->time_us));
    }
    return pages;
}

static int print_json(const OrderDiff *diff, bool list)
{
    json_t *result = json_pack(
        "{s:[I, I], s:I, s:f, s:o}", "pages", (json_int_t)diff->n_pages_a,
        (json_int_t)diff->n_pages_b, "pages-common",
        (json_int_t)diff->n_pages_common, "jaccard", diff->jaccard, "tau",
        isnan(diff->tau) ? json_null() : json_real(diff->tau));

    if (list) {
        json_object_set_new(result, "only-in",
                            json_pack("[o, o]", pages_to_json(diff->only_a),
                                      pages_to_json(diff->only_b)));
    }
    return command_print_json(result);
}

static int cmd_order_diff_run(int argc, char **argv)
{
    gboolean force = FALSE, list = FALSE, json = FALSE;
    const GOptionEntry entries[] = {
        {"list", 'l', 0, G_OPTION_ARG_NONE, &list,
         "List the pages that only one order has", NULL},
        {"force", 'f', 0, G_OPTION_ARG_NONE, &force,
         "Compare orders of different snapshots", NULL},
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    g_autoptr(GPtrArray) orders = NULL;
    g_autoptr(OrderDiff) diff = NULL;
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_diff, entries, 2, 2, &argc, &argv, &status)) {
        return status;
    }
    orders = order_set_load(argv + 1, 2, force, &error);
    if (orders) {
        diff = order_diff(orders->pdata[0], orders->pdata[1], &error);
    }
    if (!diff) {
        return command_fail(error);
    }
    return json ? print_json(diff, list) : print_text(diff, argv + 1, list);
}

const Command cmd_order_diff = {
    .name = "diff",
    .synopsis = "FILE FILE",
    .summary = "Compare two orders",
    .run = cmd_order_diff_run,
};
