/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether the rest may be loaded now.  The guest comes first: while its vCPUs
 * leave no CPU free, loading what nobody waits for yet would take time from
 * them.  (A low priority does not help: copying shares memory and caches with
 * the guest, and pages that are being placed are held.)
 *
 * Before the guest runs at all, what it waits for is QEMU, which needs the
 * CPUs for the device state: the gate is shut until it is released.
 *
 * The gate does not stay shut: a guest that never idles gets the rest as well,
 * after a time.
 *
 * The gate also enforces the limit of what may be read per second.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct RestGate RestGate;

/* A gate, closed.  thread_ids: the vCPUs', threads of this process.
 * n_processors: what the process may use; 0: ask the kernel.  patience_us: for
 * how long it stays closed for the guest at the most, from the first
 * rest_gate_is_open() on.  max_bytes_per_s: what may be read; 0: no limit. */
RestGate *rest_gate_new(const uint32_t *thread_ids, size_t n_threads,
                        unsigned n_processors, uint64_t patience_us,
                        uint64_t max_bytes_per_s);

/* NULL is fine. */
void rest_gate_free(RestGate *gate);

/* The guest runs, or nobody waits for it to. */
void rest_gate_release(RestGate *gate);

/* For one thread at a time.  now_us: CLOCK_MONOTONIC.  False: ask again at
 * *ret_again_us. */
bool rest_gate_is_open(RestGate *gate, uint64_t now_us, uint64_t *ret_again_us);

/* The same for a rest that does not wait for the guest, which needs it: whether
 * the limit permits it. */
bool rest_gate_limit_permits(const RestGate *gate, uint64_t now_us,
                             uint64_t *ret_again_us);

/* So much is read now. */
void rest_gate_note_read(RestGate *gate, uint64_t now_us, uint64_t n_bytes);
