/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a clone has of its template's memory in use.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* In memory at this moment: *ret_shared_bytes of its template's that it has
 * touched and not changed, and *ret_own_bytes of its own, which is what it has
 * changed and what QEMU takes besides.  The kernel keeps count of both, so that
 * this is as quick for a large clone as for a small one.  False: they cannot be
 * seen. */
bool clone_memory_read(pid_t pid, uint64_t *ret_shared_bytes,
                       uint64_t *ret_own_bytes);
