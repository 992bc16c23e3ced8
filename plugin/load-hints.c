/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/load-hints.h"

#include <string.h>

#include "formats/error.h"

const PageOrderLimits load_hints_limits = {
    .max_file_bytes = 64 << 20,
    .max_extents = 4u << 20,
};

void load_hints_warn(char **ret_warning, char *text)
{
    g_autofree char *before = *ret_warning;
    g_autofree char *added = text;

    *ret_warning = before ? g_strdup_printf("%s; %s", before, added)
                          : g_steal_pointer(&added);
}

static void warn_of_order(const GError *error, char **ret_warning)
{
    bool is_large =
        g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE);

    load_hints_warn(ret_warning,
                    g_strdup_printf("%s%s; loading without an order",
                                    error->message,
                                    is_large ? "; too large for a load "
                                               "(preheat order trim makes it "
                                               "smaller)"
                                             : ""));
}

PageOrder *load_hints_order(const LoadRequest *request,
                            const RamImage *snapshot, char **ret_warning)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PageOrder) order = NULL;

    if (request->order) {
        order =
            page_order_load_source(request->order, &load_hints_limits, &error);
    } else if (request->order_error) {
        error = g_error_copy(request->order_error);
    }
    if (error) {
        warn_of_order(error, ret_warning);
    } else if (order && order->identity &&
               strcmp(order->identity, snapshot->identity) != 0) {
        load_hints_warn(ret_warning,
                        g_strdup_printf("%s was recorded for another snapshot "
                                        "than %s; it may not help",
                                        request->order->name, snapshot->path));
    }
    return g_steal_pointer(&order);
}

Pack *load_hints_pack(LoadRequest *request, const RamImage *snapshot,
                      char **ret_warning)
{
    g_autoptr(GError) error = g_steal_pointer(&request->pack_error);
    Pack *pack = request->pack ? pack_open(g_steal_pointer(&request->pack),
                                           snapshot, &error)
                               : NULL;

    if (error) {
        load_hints_warn(
            ret_warning,
            g_strdup_printf("%s; loading without the pack", error->message));
    }
    return pack;
}
