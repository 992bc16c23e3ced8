/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How the eager threads read: the numbers of every load, which a simulated
 * load is to share.
 */
#pragma once

#include <stdint.h>

#include <glib.h>

/* So many threads read what the replay gives, and then the rest. */
#define READ_AHEAD_N_THREADS 4

/* Their pieces: small while the guest waits for faults, so that these need
 * not wait long; large otherwise.  Twice as large after each so many faults,
 * up to the large ones: a guest that needs so many pages has more of it if all
 * is loaded soon than if each is. */
#define READ_AHEAD_BUSY_PIECE_BYTES (UINT64_C(64) << 10)
#define READ_AHEAD_PIECE_BYTES      (UINT64_C(1) << 20)
#define READ_AHEAD_BUSY_FAULTS      UINT64_C(512)
/* So long after a fault the guest counts as waiting. */
#define READ_AHEAD_BUSY_US UINT64_C(3000)

/* Holes up to this size are read through rather than skipped: a request
 * costs more than these bytes. */
#define READ_AHEAD_MAX_HOLE_BYTES (UINT64_C(64) << 10)

/* A piece while the guest waits for faults, the n_faults'th of them: of
 * busy_bytes in the beginning, and of max_bytes in the end. */
static inline uint64_t read_ahead_busy_bytes(uint64_t busy_bytes,
                                             uint64_t max_bytes,
                                             uint64_t n_faults)
{
    uint64_t bytes = busy_bytes;

    for (uint64_t n = READ_AHEAD_BUSY_FAULTS;
         n <= n_faults && bytes < max_bytes; n += READ_AHEAD_BUSY_FAULTS) {
        bytes *= 2;
    }
    return MIN(bytes, MAX(busy_bytes, max_bytes));
}
