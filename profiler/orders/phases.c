/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/phases.h"

/* Times need not rise along an order, so a gap counts from the latest. */
static bool ends_phase(const OrderPhase *phase, uint64_t latest_us,
                       const PageExtent *extent, uint64_t n_bytes,
                       uint64_t max_phase_bytes, uint64_t quiet_gap_us)
{
    if (phase->n_bytes > max_phase_bytes ||
        n_bytes > max_phase_bytes - phase->n_bytes) {
        return true;
    }
    return extent->time_us > latest_us &&
           extent->time_us - latest_us > quiet_gap_us;
}

GArray *order_phases(const PageOrder *order, uint64_t max_phase_bytes,
                     uint64_t quiet_gap_us)
{
    GArray *phases = g_array_new(FALSE, FALSE, sizeof(OrderPhase));
    OrderPhase *phase = NULL;
    uint64_t latest_us = 0;

    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);
        uint64_t n_bytes =
            extent->span.n_pages *
            page_order_block(order, extent->span.block)->page_bytes;

        if (phase == NULL || ends_phase(phase, latest_us, extent, n_bytes,
                                        max_phase_bytes, quiet_gap_us)) {
            OrderPhase next = {
                .first_extent = i,
                .time_us = extent->time_us,
            };

            g_array_append_val(phases, next);
            phase = &g_array_index(phases, OrderPhase, phases->len - 1);
            latest_us = extent->time_us;
        }
        phase->n_extents++;
        phase->n_pages += extent->span.n_pages;
        phase->n_bytes += n_bytes;
        latest_us = MAX(latest_us, extent->time_us);
    }
    return phases;
}
