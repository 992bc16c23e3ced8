/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether a snapshot fits a machine, and whether the machine's RAM can be
 * loaded lazily: all checks that must pass before anything is lost.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

#include "formats/control-protocol.h"
#include "formats/ram-image.h"
#include "host/ram-blocks.h"
#include "host/rpc.h"

/* Blocks below this are loaded with the device state: they cost nothing. */
#define LAZY_MIN_BYTES (UINT64_C(2) << 20)

/* Compare the snapshot's RAM blocks with the machine's.  Blocks that are only
 * in the machine are left alone, as QEMU leaves them.  With policy full
 * nothing is refused that QEMU itself would load; a text is added to warnings
 * (may be NULL) where that is odd.  The text of UTIL_ERROR_FAILED says how to
 * start QEMU instead. */
bool machine_check_blocks(const RamImage *snapshot, const GArray *blocks,
                          LoadPolicy policy, GPtrArray *warnings,
                          GError **error);

/* Whether a block is worth being loaded lazily, and being profiled. */
bool machine_block_is_lazy(const RamBlock *block);

/* Those of blocks that are; an array of RamBlock with borrowed names. */
GArray *machine_lazy_ram(const GArray *blocks);

/* Which of the snapshot's blocks are to be loaded lazily: one bool a block,
 * for g_free().  The blocks have been compared. */
bool *machine_lazy_blocks(const RamImage *snapshot, const GArray *blocks);

/* Refuse a machine in which somebody reaches guest RAM past QEMU
 * (host/ram-access.h).  pid is QEMU's process, blocks its RAM; what cannot be
 * looked at is added to warnings (may be NULL). */
bool machine_check_devices(Rpc *qmp, pid_t pid, const GArray *blocks,
                           GPtrArray *warnings, GError **error);

/* Refuse a machine whose RAM cannot be mapped from a template. */
bool machine_check_clonable(Rpc *qmp, GError **error);
