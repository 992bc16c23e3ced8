/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a clone has of its template's memory in use.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* By /proc/PID/smaps: *ret_shared_bytes that it has touched and not changed,
 * and *ret_own_bytes that it has changed, and so has copies of.  False: it
 * cannot be seen. */
bool clone_memory_read(pid_t pid, uint64_t *ret_shared_bytes,
                       uint64_t *ret_own_bytes);
