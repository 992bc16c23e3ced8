/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's migration capabilities and parameters as a migration into or from a
 * mapped-ram file needs them, and back to what they were.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/rpc.h"

typedef enum {
    MIGRATION_TO_FILE = 1 << 0,
    MIGRATION_FROM_FILE = 1 << 1,
} MigrationUse;

/* What is to be changed, and what it was before. */
typedef struct MigrationSettings MigrationSettings;

/* Ask QEMU what use takes; nothing is changed yet. */
MigrationSettings *migration_settings_new(Rpc *qmp, MigrationUse use,
                                          GError **error);

/* NULL is fine. */
void migration_settings_free(MigrationSettings *settings);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigrationSettings, migration_settings_free)

/* Whether nothing is to be changed. */
bool migration_settings_are_set(const MigrationSettings *settings);

/* Change it; nothing is changed after an error.  To be called, like the next
 * one, while no migration is under way. */
bool migration_settings_apply(const MigrationSettings *settings, Rpc *qmp,
                              GError **error);

/* Set what was changed back. */
bool migration_settings_restore(const MigrationSettings *settings, Rpc *qmp,
                                GError **error);

/* What restoring sets, for a process to come: a new reference. */
json_t *migration_settings_to_json(const MigrationSettings *settings);

/* Settings that can only be restored; NULL if json is not of that form. */
MigrationSettings *migration_settings_from_json(const json_t *json);
