/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a save has to do with the plugin in its QEMU: have it come to rest
 * before, and have the profile recorded after.  A profile that cannot be made
 * is reported at the end: the save is worth more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#include "host/profiling.h"
#include "host/save-session.h"

typedef struct SaveProfile {
    const ProfileTime *time; /* NULL: not asked for */
    Profiling *profiling;    /* NULL: not asked for, or not begun */
    GError *error;           /* why the window did not open */
    int64_t window_us;       /* so long it took to open */
} SaveProfile;

void save_profile_clear(SaveProfile *profile);

/* What the plugin is at, if it is there, comes to its end first: a guest that
 * is still loading would be saved one demand fault at a time.  Where a profile
 * is asked for it is made ready; its order goes beside snapshot_path. */
bool save_profile_prepare(SaveProfile *profile, SaveSession *session,
                          const char *snapshot_path, bool guest_runs,
                          GError **error);

/* A profile was made ready, and the guest is stopped: open the window for the
 * snapshot in fd, which is taken over, as profiling_start() does; -1: there is
 * none, and profile->error says why. */
void save_profile_start(SaveProfile *profile, int fd, const char *name,
                        const char *tag);

/* The snapshot has come to nothing: so does the window, if it is open. */
void save_profile_discard(SaveProfile *profile);

/* The guest runs and the snapshot is in place: wait for the window's end.
 * ret_profile: as profiling_finish(); unchanged without a profile. */
bool save_profile_finish(SaveProfile *profile, SaveSession *session,
                         json_t **ret_profile, GError **error);
