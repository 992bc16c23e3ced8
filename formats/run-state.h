/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The run state that a guest was saved in: the section "globalstate" of the
 * device state.
 *
 * Source of the format: QEMU, migration/global_state.c and savevm.c (since
 * QEMU 9.0).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/byte-source.h"

#define RUN_STATE_NAME_BYTES 32

/* What the section begins with: the name's length and the name. */
#define RUN_STATE_ENCODED_BYTES (4 + RUN_STATE_NAME_BYTES)

typedef struct RunState {
    size_t off_bytes; /* where it is encoded, in the bytes searched */
    char name[RUN_STATE_NAME_BYTES]; /* as in QMP: "running" */
    bool was_suspended; /* a paused guest will be suspended, not running */
} RunState;

/* Search it in (the beginning of) a device state.  False where it is not, as
 * in the machine types of QEMU before 2.4: to QEMU that means "running". */
bool run_state_find(const uint8_t *bytes, size_t len_bytes,
                    RunState *ret_state);

/* Search it in the device state that begins off_bytes into source; the same.
 * Where reading fails there is none, either. */
bool run_state_read(const ByteSource *source, uint64_t off_bytes,
                    RunState *ret_state);

/* How QEMU would have written name at off_bytes. */
void run_state_encode(const char *name,
                      uint8_t ret_bytes[RUN_STATE_ENCODED_BYTES]);
