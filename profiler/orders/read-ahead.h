/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How the eager threads read: the numbers of every load, which a simulated
 * load is to share.
 */
#pragma once

#include <stdint.h>

/* So many threads read what the replay gives, and then the rest. */
#define READ_AHEAD_N_THREADS 4

/* Their pieces: small while the guest waits for faults, so that these need
 * not wait long; large otherwise. */
#define READ_AHEAD_BUSY_PIECE_BYTES (UINT64_C(64) << 10)
#define READ_AHEAD_PIECE_BYTES      (UINT64_C(1) << 20)
/* So long after a fault the guest counts as waiting. */
#define READ_AHEAD_BUSY_US UINT64_C(3000)

/* Holes up to this size are read through rather than skipped: a request
 * costs more than these bytes. */
#define READ_AHEAD_MAX_HOLE_BYTES (UINT64_C(64) << 10)
