/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/trim.h"

#include "profiler/orders/normalise.h"
#include "profiler/orders/phases.h"

const OrderTrim ORDER_TRIM_NOTHING = {
    .max_bytes = UINT64_MAX,
    .max_pages = UINT64_MAX,
    .max_time_us = UINT64_MAX,
    .max_phases = SIZE_MAX,
    .phase_bytes = ORDER_PHASE_BYTES,
    .phase_quiet_us = ORDER_PHASE_QUIET_US,
};

/* How many extents are in the phases that are to be left. */
static size_t n_extents_in_phases(const PageOrder *order, const OrderTrim *trim)
{
    g_autoptr(GArray) phases =
        order_phases(order, trim->phase_bytes, trim->phase_quiet_us);

    if (trim->max_phases >= phases->len) {
        return order->extents->len;
    }
    return g_array_index(phases, OrderPhase, trim->max_phases).first_extent;
}

PageOrder *order_trim(const PageOrder *order, const OrderTrim *trim)
{
    g_autoptr(PageOrder) normal = order_normalise(order);
    PageOrder *trimmed = page_order_new_like(order);
    size_t n_extents = n_extents_in_phases(normal, trim);
    uint64_t bytes_left = trim->max_bytes;
    uint64_t pages_left = trim->max_pages;

    for (size_t i = 0; i < n_extents; i++) {
        PageExtent extent = *page_order_extent(normal, i);
        uint64_t page_bytes =
            page_order_block(normal, extent.span.block)->page_bytes;
        uint64_t n_pages;

        if (extent.time_us > trim->max_time_us) {
            continue;
        }
        n_pages = MIN(pages_left, bytes_left / page_bytes);
        n_pages = MIN(n_pages, extent.span.n_pages);
        if (n_pages > 0) {
            extent.span.n_pages = n_pages;
            page_order_append(trimmed, &extent);
            pages_left -= n_pages;
            bytes_left -= n_pages * page_bytes;
        }
        if (n_pages < page_order_extent(normal, i)->span.n_pages) {
            break;
        }
    }
    return trimmed;
}
