/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The phases of an order: stretches of pages that were first touched in the
 * same stretch of time, to be replayed one phase after the other.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"

/* What the program and the plugin use where nobody asked for other values. */
#define ORDER_PHASE_BYTES    (UINT64_C(8) << 20)
#define ORDER_PHASE_QUIET_US UINT64_C(20000)

typedef struct OrderPhase {
    size_t first_extent;
    size_t n_extents; /* not 0 */
    uint64_t n_pages; /* of all its extents, overlapping or not */
    uint64_t n_bytes;
    uint64_t time_us; /* of the first extent */
} OrderPhase;

/*
 * Split a valid order into phases, in sequence: a GArray of OrderPhase that
 * covers every extent, empty for an empty order.
 *
 * A phase ends before an extent that would make it larger than
 * max_phase_bytes (an extent is never split, so a larger one is a phase by
 * itself), and before one that comes more than quiet_gap_us after all that is
 * in the phase.
 */
GArray *order_phases(const PageOrder *order, uint64_t max_phase_bytes,
                     uint64_t quiet_gap_us);
