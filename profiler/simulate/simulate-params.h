/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The parameters of a simulated load, except for its order and its trace.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "profiler/simulate/storage-model.h"

/* A time that does not come. */
#define SIMULATE_NEVER UINT64_MAX

typedef struct SimulateParams {
    StorageSpec storage;
    uint64_t fault_ns;         /* cost of a fault beside the reading */
    uint64_t trace_fault_ns;   /* what each touch of the trace had cost when
                                  it was recorded: not computing */
    uint64_t head_start_ns;    /* the order is read so long before the guest */
    uint64_t piece_bytes;      /* what an eager thread claims at once */
    uint64_t busy_piece_bytes; /* the same while faults arrive */
    uint64_t busy_ns;          /* so long after a fault has come */
    uint64_t read_hole_bytes;  /* pages not in the file that a read reads
                                  along */
    size_t n_eager_threads;    /* at least 1 */
} SimulateParams;

/* What the plugin does; storage is left for the caller. */
void simulate_params_init(SimulateParams *params);
