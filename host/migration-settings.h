/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's migration capabilities and parameters as a mapped-ram save needs
 * them, and back to what they were.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/rpc.h"

typedef struct MigrationSettings MigrationSettings;

/* Whether they are set already, as a save that was killed leaves them:
 * mapped-ram is on, and nothing limits the bandwidth. */
bool migration_settings_are_left(Rpc *qmp);

/* Set them.  To be called while no migration is under way.  cut_short: an
 * earlier save was killed; what it has left, mapped-ram and no limit of the
 * bandwidth, counts as having been what QEMU starts with. */
MigrationSettings *migration_settings_apply(Rpc *qmp, bool cut_short,
                                            GError **error);

/* Set what was changed back. */
bool migration_settings_restore(const MigrationSettings *settings, Rpc *qmp,
                                GError **error);

/* NULL is fine. */
void migration_settings_free(MigrationSettings *settings);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigrationSettings, migration_settings_free)
