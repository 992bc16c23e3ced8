/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where an order has most of what is in the file of a huge page.  To read all
 * of that, in one go and into one huge page, is less work than to pick pages;
 * and if such an order is useless, it does no harm: all is loaded as it would
 * be without.
 *
 * Of each two bitmaps, one tells which pages the order has, the other which are
 * in the file.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether this is so for the n_pages from first_page on, both multiples of
 * 64. */
bool order_density_is_high(const uint64_t *in_order, const uint64_t *in_file,
                           uint64_t first_page, uint64_t n_pages);

/* Of an order, all zeroes in the beginning. */
typedef struct OrderDensity {
    uint64_t n_pages; /* that it has, and that are in the file … */
    uint64_t n_dense; /* … of these, where its density is high */
} OrderDensity;

/* Count a block of n_pages, in huge pages of huge_pages each. */
void order_density_add(OrderDensity *density, const uint64_t *in_order,
                       const uint64_t *in_file, uint64_t n_pages,
                       uint64_t huge_pages);

/* Whether most of the order's pages lie where its density is high. */
bool order_density_most_is_dense(const OrderDensity *density);
