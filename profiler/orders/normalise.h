/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The plain form of an order: each page in one extent only.
 */
#pragma once

#include "formats/page-order.h"

/* A new order of those pages of order that are in segments, in its sequence.
 * Sorts segments by sequence. */
PageOrder *order_of_segments(const PageOrder *order, GArray *segments);

/* A new order with the same pages in the same sequence, each only where it
 * comes first; extents that follow each other without a gap are merged.  A
 * normalised order stays as it is. */
PageOrder *order_normalise(const PageOrder *order);
