/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's migration settings as a save needs them, and back; with the mark in
 * QEMU that tells the next save of them, should this one be killed.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/migration-settings.h"
#include "host/save-mark.h"

/* Zero it, but for qmp. */
typedef struct SaveSettings {
    Rpc *qmp;       /* borrowed */
    SaveMark *left; /* by a save that was killed; NULL: none */
    /* … after which nobody has touched the settings: what the guest is at now,
     * that save has left. */
    bool cut_short;
    MigrationSettings *settings;
    SaveMark *mark;  /* ours; NULL: not yet */
    bool is_changed; /* settings are to be restored */
} SaveSettings;

/* The marks stay in QEMU. */
void save_settings_clear(SaveSettings *settings);

/* Sets left and cut_short. */
bool save_settings_look_for_left(SaveSettings *settings, GError **error);

/* Restore what the killed save has changed: it would be taken for the user's.
 * Its mark stays until save_settings_forget_left(). */
bool save_settings_take_over_left(SaveSettings *settings, GError **error);
void save_settings_forget_left(SaveSettings *settings);

/* Give QEMU fd, which stays the caller's, with our mark. */
bool save_settings_mark(SaveSettings *settings, int fd, bool was_running,
                        GError **error);

/* Set what the save needs. */
bool save_settings_apply(SaveSettings *settings, GError **error);

/* Back to what was; can be done again.  Before a profiling window opens: QEMU
 * switches background-snapshot on only where nobody else watches guest RAM. */
bool save_settings_restore(SaveSettings *settings, GError **error);

/* Once the settings are back, nothing is left to be done for us. */
void save_settings_remove_mark(SaveSettings *settings);
