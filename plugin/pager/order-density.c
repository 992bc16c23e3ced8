/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/order-density.h"

#include <glib.h>

/* How many of the pages are in the file; *ret_in_order: and in the order. */
static uint64_t count(const uint64_t *in_order, const uint64_t *in_file,
                      uint64_t first_page, uint64_t n_pages,
                      uint64_t *ret_in_order)
{
    uint64_t n_in_file = 0;
    uint64_t n_in_order = 0;

    for (uint64_t i = first_page / 64; i < (first_page + n_pages) / 64; i++) {
        n_in_file += (uint64_t)__builtin_popcountll(in_file[i]);
        n_in_order += (uint64_t)__builtin_popcountll(in_file[i] & in_order[i]);
    }
    *ret_in_order = n_in_order;
    return n_in_file;
}

static bool is_high(uint64_t n_in_order, uint64_t n_in_file)
{
    return n_in_order * 2 > n_in_file;
}

bool order_density_is_high(const uint64_t *in_order, const uint64_t *in_file,
                           uint64_t first_page, uint64_t n_pages)
{
    uint64_t n_in_order;
    uint64_t n_in_file =
        count(in_order, in_file, first_page, n_pages, &n_in_order);

    return is_high(n_in_order, n_in_file);
}

void order_density_add(OrderDensity *density, const uint64_t *in_order,
                       const uint64_t *in_file, uint64_t n_pages,
                       uint64_t huge_pages)
{
    uint64_t step_pages = MAX(huge_pages, 64);

    for (uint64_t i = 0; i + step_pages <= n_pages; i += step_pages) {
        uint64_t n_in_order;
        uint64_t n_in_file =
            count(in_order, in_file, i, step_pages, &n_in_order);

        density->n_pages += n_in_order;
        density->n_dense += is_high(n_in_order, n_in_file) ? n_in_order : 0;
    }
}

bool order_density_most_is_dense(const OrderDensity *density)
{
    return density->n_dense * 2 > density->n_pages;
}
