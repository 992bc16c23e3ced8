/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/match.h"

#include <string.h>

#include "profiler/orders/error.h"

#define IDENTITY_DIGITS_SHOWN 12

static PageOrderBlock *find_block(const PageOrder *order, const char *name)
{
    int64_t i = page_order_find_block(order, name);

    return i < 0 ? NULL : &g_array_index(order->blocks, PageOrderBlock, i);
}

static bool check_identities(const PageOrder *a, const PageOrder *b,
                             const char *name_a, const char *name_b,
                             GError **error)
{
    if (a->identity == NULL || b->identity == NULL ||
        strcmp(a->identity, b->identity) == 0) {
        return true;
    }
    g_set_error(error, PROFILER_ERROR, PROFILER_ERROR_MISMATCH,
                "%s and %s belong to different snapshots (%.*s… and %.*s…)",
                name_a, name_b, IDENTITY_DIGITS_SHOWN, a->identity,
                IDENTITY_DIGITS_SHOWN, b->identity);
    return false;
}

static bool check_lengths(const PageOrder *a, const PageOrder *b,
                          const char *name_a, const char *name_b,
                          GError **error)
{
    for (guint i = 0; i < a->blocks->len; i++) {
        const PageOrderBlock *in_a = page_order_block(a, i);
        const PageOrderBlock *in_b = find_block(b, in_a->name);

        if (in_b != NULL && in_b->len_bytes != in_a->len_bytes) {
            g_set_error(error, PROFILER_ERROR, PROFILER_ERROR_MISMATCH,
                        "RAM block \"%s\" has %" G_GUINT64_FORMAT
                        " bytes in %s, but %" G_GUINT64_FORMAT
                        " in %s: they belong to different machines",
                        in_a->name, in_a->len_bytes, name_a, in_b->len_bytes,
                        name_b);
            return false;
        }
    }
    return true;
}

bool orders_check_match(const PageOrder *const *orders,
                        const char *const *names, size_t n, GError **error)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n; j++) {
            if (!check_identities(orders[i], orders[j], names[i], names[j],
                                  error) ||
                !check_lengths(orders[i], orders[j], names[i], names[j],
                               error)) {
                return false;
            }
        }
    }
    return true;
}

uint32_t *order_join_blocks(PageOrder *joined, const PageOrder *order,
                            GError **error)
{
    g_autofree uint32_t *map = g_new(uint32_t, order->blocks->len + 1);

    for (guint i = 0; i < order->blocks->len; i++) {
        const PageOrderBlock *block = page_order_block(order, i);
        PageOrderBlock *present = find_block(joined, block->name);

        if (present == NULL) {
            map[i] = page_order_add_block(joined, block->name, block->len_bytes,
                                          block->page_bytes);
            continue;
        }
        if (present->page_bytes != block->page_bytes) {
            g_set_error(error, PROFILER_ERROR, PROFILER_ERROR_MISMATCH,
                        "RAM block \"%s\" has pages of %" G_GUINT64_FORMAT
                        " bytes in one order and of %" G_GUINT64_FORMAT
                        " in another: such orders cannot be combined",
                        block->name, present->page_bytes, block->page_bytes);
            return NULL;
        }
        present->len_bytes = MAX(present->len_bytes, block->len_bytes);
        map[i] = present - page_order_block(joined, 0);
    }
    if (joined->identity == NULL) {
        joined->identity = g_strdup(order->identity);
    }
    return g_steal_pointer(&map);
}
