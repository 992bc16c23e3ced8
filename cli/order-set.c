/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/order-set.h"

#include "profiler/orders/match.h"

GPtrArray *order_set_load(char *const *paths, size_t n, bool force,
                          GError **error)
{
    g_autoptr(GPtrArray) orders =
        g_ptr_array_new_with_free_func((GDestroyNotify)page_order_free);

    for (size_t i = 0; i < n; i++) {
        PageOrder *order = page_order_load(paths[i], error);

        if (!order) {
            return NULL;
        }
        g_ptr_array_add(orders, order);
    }
    if (!force && !orders_check_match((const PageOrder *const *)orders->pdata,
                                      (const char *const *)paths, n, error)) {
        g_prefix_error(error, "cannot take them together without --force: ");
        return NULL;
    }
    return g_steal_pointer(&orders);
}
