/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How much two orders agree.
 */
#pragma once

#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"

typedef struct OrderDiff {
    uint64_t n_pages_a; /* distinct ones */
    uint64_t n_pages_b;
    uint64_t n_pages_common;
    /* Common pages of all pages: 1 for the same set, 0 for disjoint ones; 1
     * also if neither order has a page. */
    double jaccard;
    /* Kendall's rank correlation of the sequences that the common pages have
     * in a and in b: of two common pages, the share that comes in the same
     * sequence less the share that comes in the opposite one.  From -1 to 1;
     * NAN for fewer than two common pages.  Sequences have no ties, so tau-a
     * and tau-b are the same. */
    double tau;
    PageOrder *only_a; /* what b lacks, in a's sequence */
    PageOrder *only_b;
} OrderDiff;

/* Compare two orders, their blocks matched by name: a new OrderDiff, or NULL
 * with PROFILER_ERROR_MISMATCH if a block has different page sizes. */
OrderDiff *order_diff(const PageOrder *a, const PageOrder *b, GError **error);

/* NULL is fine. */
void order_diff_free(OrderDiff *diff);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(OrderDiff, order_diff_free)
