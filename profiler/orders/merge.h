/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One order out of several of the same snapshot.
 */
#pragma once

#include <stddef.h>

#include <glib.h>

#include "formats/page-order.h"

/*
 * The pages that at least min_orders of the n orders (at least one) have: 1
 * gives their union, n their intersection.  Blocks are matched by name.
 *
 * A page's time is the median of its times, each weighted by the n_runs of
 * its order; the pages are in sequence of time, those of one time in the
 * sequence of the first order that has them.  Its kind of access is that of
 * the first order that knows one, its idle_loads the least.
 *
 * Returns a new order, normalised, learned from all their runs; or NULL with
 * PROFILER_ERROR_MISMATCH if a block has different page sizes.
 */
PageOrder *order_merge(const PageOrder *const *orders, size_t n,
                       size_t min_orders, GError **error);
