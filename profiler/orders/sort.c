/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/sort.h"

#include "profiler/orders/normalise.h"
#include "profiler/orders/phases.h"
#include "profiler/orders/radix-sort.h"

static uint64_t time_key(const void *extent)
{
    return ((const PageExtent *)extent)->time_us;
}

static uint64_t page_key(const void *extent)
{
    return ((const PageExtent *)extent)->span.first_page;
}

static uint64_t block_key(const void *extent)
{
    return ((const PageExtent *)extent)->span.block;
}

static void sort_by_address(PageExtent *extents, size_t n)
{
    radix_sort(extents, n, sizeof(*extents), page_key);
    radix_sort(extents, n, sizeof(*extents), block_key);
}

static void sort_within_phases(PageOrder *order, uint64_t phase_bytes,
                               uint64_t phase_quiet_us)
{
    g_autoptr(GArray) phases = order_phases(order, phase_bytes, phase_quiet_us);
    PageExtent *extents = (PageExtent *)order->extents->data;

    for (guint i = 0; i < phases->len; i++) {
        const OrderPhase *phase = &g_array_index(phases, OrderPhase, i);

        sort_by_address(extents + phase->first_extent, phase->n_extents);
    }
}

PageOrder *order_sort(const PageOrder *order, OrderSortKey key,
                      uint64_t phase_bytes, uint64_t phase_quiet_us)
{
    PageOrder *sorted = order_normalise(order);

    switch (key) {
    case ORDER_SORT_TIME:
        radix_sort_array(sorted->extents, time_key);
        break;
    case ORDER_SORT_ADDRESS:
        sort_by_address((PageExtent *)sorted->extents->data,
                        sorted->extents->len);
        break;
    case ORDER_SORT_PHASE:
        sort_within_phases(sorted, phase_bytes, phase_quiet_us);
        break;
    }
    return sorted;
}
