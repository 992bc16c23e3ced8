/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether a snapshot fits a machine, and whether the machine's RAM can be
 * loaded lazily: all that is to be known before anything is lost.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

#include "formats/ram-image.h"
#include "host/ram-blocks.h"
#include "host/rpc.h"

/* Blocks below this are loaded with the device state: they cost nothing. */
#define LAZY_MIN_BYTES (UINT64_C(2) << 20)

/* Compare the snapshot's RAM blocks with the machine's.  The text of
 * UTIL_ERROR_FAILED says how to start QEMU instead. */
bool machine_check_blocks(const RamImage *snapshot, const GArray *blocks,
                          GError **error);

/* Whether a block is worth being loaded lazily, and being profiled. */
bool machine_block_is_lazy(const RamBlock *block);

/* Which of the snapshot's blocks are to be loaded lazily: one bool a block,
 * for g_free().  The blocks have been compared. */
bool *machine_lazy_blocks(const RamImage *snapshot, const GArray *blocks);

/* Refuse a machine with a device that shares guest RAM with another process
 * or pins it: its accesses would not wait for a page to be loaded.  pid is
 * QEMU's process. */
bool machine_check_devices(Rpc *qmp, pid_t pid, GError **error);
