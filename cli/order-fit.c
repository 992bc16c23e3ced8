/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/order-fit.h"

#include <inttypes.h>
#include <string.h>

#include "util/error.h"
#include "util/units.h"

static bool check_identity(const PageOrder *order, const RamImage *snapshot,
                           GError **error)
{
    if (!order->identity || strcmp(order->identity, snapshot->identity) == 0) {
        return true;
    }
    g_set_error(
        error, UTIL_ERROR, UTIL_ERROR_FAILED,
        "recorded for snapshot %.16s…, but this is %.16s…: it may not help",
        order->identity, snapshot->identity);
    return false;
}

static bool check_block(const PageOrderBlock *block, const RamImage *snapshot,
                        GError **error)
{
    const RamImageBlock *saved = ram_image_find_block(snapshot, block->name);
    g_autofree char *size = units_format_size(block->len_bytes);
    g_autofree char *saved_size = NULL;

    if (!saved) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "RAM block %s is not in the snapshot", block->name);
        return false;
    }
    saved_size = units_format_size(saved->len_bytes);
    if (saved->len_bytes != block->len_bytes) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "RAM block %s is %s in the order but %s in the snapshot",
                    block->name, size, saved_size);
        return false;
    }
    return true;
}

/* Note the extent's pages, in pages of the snapshot, in seen; count those
 * that were not there before. */
static void count_extent(const PageExtent *extent, const PageOrderBlock *block,
                         const RamImageBlock *saved, uint64_t *seen,
                         OrderFit *fit)
{
    uint64_t start = extent->span.first_page * block->page_bytes;
    uint64_t end = start + extent->span.n_pages * block->page_bytes;
    uint64_t last = (end - 1) / saved->page_bytes;

    for (uint64_t page = start / saved->page_bytes; page <= last; page++) {
        uint64_t bit = UINT64_C(1) << (page % 64);

        if (!(seen[page / 64] & bit)) {
            seen[page / 64] |= bit;
            fit->n_pages++;
            fit->n_in_file += ram_image_block_has_page(saved, page);
        }
    }
}

static bool count_block(const PageOrder *order, uint32_t index,
                        const RamImage *snapshot, OrderFit *fit, GError **error)
{
    const PageOrderBlock *block = page_order_block(order, index);
    const RamImageBlock *saved = ram_image_find_block(snapshot, block->name);
    g_autofree uint64_t *seen =
        g_try_malloc0_n(saved->n_pages / 64 + 1, sizeof(uint64_t));

    if (!seen) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "out of memory: RAM block %s has %" PRIu64 " pages",
                    block->name, saved->n_pages);
        return false;
    }
    for (size_t i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        if (extent->span.block == index) {
            count_extent(extent, block, saved, seen, fit);
        }
    }
    return true;
}

bool order_fit_compare(const PageOrder *order, const RamImage *snapshot,
                       OrderFit *ret_fit, GError **error)
{
    OrderFit fit = {0, 0};

    if (!check_identity(order, snapshot, error)) {
        return false;
    }
    for (guint i = 0; i < order->blocks->len; i++) {
        if (!check_block(page_order_block(order, i), snapshot, error) ||
            !count_block(order, i, snapshot, &fit, error)) {
            return false;
        }
    }
    *ret_fit = fit;
    return true;
}
