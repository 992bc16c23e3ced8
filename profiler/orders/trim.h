/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Cutting an order down to its hottest part.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "formats/page-order.h"

/* What is to be left; all limits hold at once. */
typedef struct OrderTrim {
    uint64_t max_bytes;
    uint64_t max_pages;
    uint64_t max_time_us; /* pages first touched later are left out */
    size_t max_phases;    /* of order_phases() with the next two */
    uint64_t phase_bytes;
    uint64_t phase_quiet_us;
} OrderTrim;

/* Limits that cut nothing, to start from. */
extern const OrderTrim ORDER_TRIM_NOTHING;

/* A new order, normalised, of the first pages of order that keep to trim's
 * limits: an extent that crosses the limit of bytes or pages is cut. */
PageOrder *order_trim(const PageOrder *order, const OrderTrim *trim);
