/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The RAM blocks of a running QEMU, from the table that QMP's
 * x-query-ramblock and the human monitor's `info ramblock` both print.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "host/rpc.h"

typedef struct RamBlock {
    char *name;          /* QEMU's idstr; "" for what never migrates */
    uint64_t page_bytes; /* host page size */
    uint64_t used_bytes;
    uint64_t total_bytes; /* above used_bytes: can grow, as ACPI tables do */
    uint64_t host;        /* address in QEMU's process */
    bool writable;        /* by the guest */
} RamBlock;

/* Parse that table: an array of RamBlock that frees its elements.  NULL with
 * UTIL_ERROR_PROTOCOL names the line that is not understood. */
GArray *ram_blocks_parse(const char *text, GError **error);

/* Ask QEMU for them; it need not have a human monitor. */
GArray *ram_blocks_query(Rpc *qmp, GError **error);

/* The block called name, or NULL. */
const RamBlock *ram_blocks_find(const GArray *blocks, const char *name);

/* The block as the control protocol's commands take it; a new reference. */
json_t *ram_block_to_json(const RamBlock *block);
