/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Other sequences for the pages of an order.
 */
#pragma once

#include <stdint.h>

#include "formats/page-order.h"

typedef enum {
    ORDER_SORT_TIME,    /* by first touch; of equal times as they were */
    ORDER_SORT_ADDRESS, /* by block and page */
    ORDER_SORT_PHASE,   /* phases as they were, by address in each */
} OrderSortKey;

/* A new order of the same extents, normalised and then sorted by key.  The
 * phases are those of order_phases() with phase_bytes and phase_quiet_us,
 * which the other keys ignore. */
PageOrder *order_sort(const PageOrder *order, OrderSortKey key,
                      uint64_t phase_bytes, uint64_t phase_quiet_us);
