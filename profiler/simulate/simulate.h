/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Predicts how a load would go: a recorded trace of first touches against an
 * order, on a storage model.  docs/simulate.md describes the model.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/control-protocol.h"
#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "profiler/simulate/simulate-params.h"

/* Times count from when the guest could first have run. */
typedef struct SimulateResult {
    uint64_t touches;                /* pages of the trace */
    uint64_t demand_faults;          /* touches of a page that was not there */
    uint64_t zero_faults;            /* the same, of a page not in the file */
    uint64_t blocked_ns;             /* in all faults */
    uint64_t max_blocked_ns;         /* in the longest of them */
    uint64_t compute_ns;             /* the trace without its faults */
    uint64_t working_set_ns;         /* the guest is through the trace */
    uint64_t order_done_ns;          /* or SIMULATE_NEVER */
    uint64_t loaded_ns;              /* or SIMULATE_NEVER */
    uint64_t working_set_bytes_read; /* until working_set_ns */
    uint64_t bytes_read;             /* until loaded_ns */
} SimulateResult;

/*
 * Replay trace.  order may be NULL for every policy but LOAD_POLICY_ORDER;
 * snapshot, if not NULL, says which pages are in the file, otherwise all are.
 * The same input gives the same result.
 *
 * Returns false with FORMATS_ERROR if the snapshot is not the trace's or the
 * memory is too large.
 */
bool simulate_load(const PageOrder *order, const PageOrder *trace,
                   const RamImage *snapshot, const SimulateParams *params,
                   LoadPolicy policy, SimulateResult *ret_result,
                   GError **error);
