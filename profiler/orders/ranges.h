/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ranges of pages, and the two things that are done with them: dropping pages
 * from an order and pinning them at its start.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"

/* The pages of block i that have any of len_bytes bytes (not 0) from
 * off_bytes on.  False with PROFILER_ERROR_RANGE if the block ends before. */
bool order_span_of_bytes(const PageOrder *order, uint32_t i, uint64_t off_bytes,
                         uint64_t len_bytes, PageSpan *ret_span,
                         GError **error);

/* A new order: order without the pages in ranges, a GArray of PageSpan in
 * any sequence, overlapping or not. */
PageOrder *order_drop(const PageOrder *order, const GArray *ranges);

/* A new order, normalised: first the pages in ranges as ranges has them, hot
 * from time 0 on, whether order has them or not; then the rest of order. */
PageOrder *order_pin(const PageOrder *order, const GArray *ranges);
