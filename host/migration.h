/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Have QEMU migrate, out into a file or in from one, and await the end of a
 * migration, of ours or of somebody else's.
 *
 * An outgoing one, all in all:
 *
 *   migration_begin_outgoing(machine, uri, error) &&
 *   migration_complete(machine, progress, opaque, error) &&
 *   migration_wait_finalized(machine, error)
 *
 * and migration_cancel() if it was interrupted: where the Rpc of the machine
 * has an interrupt fd (rpc_set_interrupt_fd()), all that waits here ends with
 * UTIL_ERROR_INTERRUPTED when that becomes readable.
 *
 * Any event of QEMU ends a wait early, so that the end of a migration is seen
 * at once where its capability "events" is on, and within 100 ms elsewhere.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "host/machine.h"

/* What QMP's MigrationStatus comes to. */
typedef enum {
    MIGRATION_NONE, /* there was none */
    MIGRATION_UNDER_WAY,
    MIGRATION_COMPLETED,
    MIGRATION_CANCELLED,
    MIGRATION_FAILED,
} MigrationState;

/* How far the RAM is. */
typedef void MigrationProgress(uint64_t done_bytes, uint64_t total_bytes,
                               void *opaque);

/* NULL, the status of a QEMU that never migrated, is MIGRATION_NONE; a status
 * that only a later QEMU knows counts as under way. */
MigrationState migration_state_from_status(const char *status);

/* Returns when QEMU has taken the command. */
bool migration_begin_outgoing(Machine *machine, const char *uri,
                              GError **error);

/* The same, into a QEMU that waits for it (-incoming defer).  One of 9.1 or
 * later stays when that fails, and so can tell why. */
bool migration_begin_incoming(Machine *machine, const char *uri,
                              GError **error);

/* What QEMU has to say of a migration at this moment. */
bool migration_look(Machine *machine, MigrationState *ret_state,
                    GError **error);

/* Wait while a migration is under way, of whoever's.  progress may be NULL.
 * ret_reason (may be NULL): why it failed, for g_free(); NULL: not told. */
bool migration_wait(Machine *machine, MigrationProgress *progress, void *opaque,
                    MigrationState *ret_state, char **ret_reason,
                    GError **error);

/* Wait for one that has begun.  Any end but completion is UTIL_ERROR_FAILED;
 * its text is the reason alone. */
bool migration_complete(Machine *machine, MigrationProgress *progress,
                        void *opaque, GError **error);

/* Cancel an outgoing one, and wait until none is under way. */
bool migration_cancel(Machine *machine, GError **error);

/* An outgoing migration counts as completed a moment before QEMU takes "cont";
 * and QEMU 11.1 aborts when it is given another one in that moment.  Wait until
 * it has passed. */
bool migration_wait_finalized(Machine *machine, GError **error);
