/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "formats/page-order.h"
#include "util/units.h"

static void print_blocks(const PageOrder *order)
{
    for (guint i = 0; i < order->blocks->len; i++) {
        const PageOrderBlock *block = page_order_block(order, i);
        g_autofree char *size = units_format_size(block->len_bytes);
        g_autofree char *page_size = units_format_size(block->page_bytes);

        printf("block     %s, %s, pages of %s\n", block->name, size, page_size);
    }
}

static void print_totals(const PageOrder *order)
{
    uint64_t n_pages = 0, bytes = 0;
    g_autofree char *size = NULL;

    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        n_pages += extent->span.n_pages;
        bytes += extent->span.n_pages *
                 page_order_block(order, extent->span.block)->page_bytes;
    }
    size = units_format_size(bytes);
    printf("total     %u extents, %" PRIu64 " pages, %s\n", order->extents->len,
           n_pages, size);
}

static void print_header(const PageOrder *order)
{
    printf("identity  %s\n", order->identity ? order->identity : "not known");
    printf("origin    %s, %u %s\n", page_order_origin_name(order->origin),
           order->n_runs, order->n_runs == 1 ? "run" : "runs");
    print_blocks(order);
    print_totals(order);
}

static void print_extents(const PageOrder *order)
{
    printf("\n%8s %12s  %-24s %12s %8s  %s\n", "seq", "time ms", "block",
           "first page", "pages", "access");
    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        printf("%8u %12.3f  %-24s %12" PRIu64 " %8" PRIu64 "  %s\n", i,
               (double)extent->time_us / 1000,
               page_order_block(order, extent->span.block)->name,
               extent->span.first_page, extent->span.n_pages,
               page_access_name(extent->access));
    }
}

static int show(const PageOrder *order, bool json)
{
    if (json) {
        g_autofree char *text = page_order_to_json_text(order);

        fputs(text, stdout);
    } else {
        print_header(order);
        print_extents(order);
    }
    return command_flush();
}

static int cmd_order_show_run(int argc, char **argv)
{
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        COMMAND_JSON_OPTION(&json),
        {NULL},
    };
    g_autoptr(PageOrder) order = NULL;
    GError *error = NULL;
    int status;

    if (!command_parse(&cmd_order_show, entries, 1, 1, &argc, &argv, &status)) {
        return status;
    }
    order = page_order_load(argv[1], &error);
    return order ? show(order, json) : command_fail(error);
}

const Command cmd_order_show = {
    .name = "show",
    .synopsis = "FILE",
    .summary = "Print an order as a table",
    .run = cmd_order_show_run,
};
