/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/profiler/simulate/simulations.h"

PageOrder *new_order(uint64_t n_pages)
{
    PageOrder *order = page_order_new();

    page_order_add_block(order, "ram", n_pages * PAGE_BYTES, PAGE_BYTES);
    return order;
}

SimulateResult run(const PageOrder *order, const PageOrder *trace,
                   const SimulateParams *params, LoadPolicy policy)
{
    g_autoptr(GError) error = NULL;
    SimulateResult result;

    assert_true(
        simulate_load(order, trace, NULL, params, policy, &result, &error));
    assert_null(error);
    return result;
}
