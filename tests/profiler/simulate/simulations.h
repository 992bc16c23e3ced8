/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Simulated loads for the tests.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profiler/simulate/simulate.h"

#define PAGE_BYTES 4096
#define MS         UINT64_C(1000000)

/* An order without extents, of one block "ram". */
PageOrder *new_order(uint64_t n_pages);

/* The load of an image that is whole in its file; it must succeed. */
SimulateResult run(const PageOrder *order, const PageOrder *trace,
                   const SimulateParams *params, LoadPolicy policy);
