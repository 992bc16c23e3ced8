/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/simulate/simulate-params.h"

#include "profiler/orders/read-ahead.h"

#define NS_PER_US 1000

void simulate_params_init(SimulateParams *params)
{
    *params = (SimulateParams){
        .fault_ns = 20 * NS_PER_US,
        .trace_fault_ns = 20 * NS_PER_US,
        .piece_bytes = READ_AHEAD_PIECE_BYTES,
        .busy_piece_bytes = READ_AHEAD_BUSY_PIECE_BYTES,
        .busy_ns = READ_AHEAD_BUSY_US * NS_PER_US,
        .read_hole_bytes = READ_AHEAD_MAX_HOLE_BYTES,
        .n_eager_threads = READ_AHEAD_N_THREADS,
    };
}
