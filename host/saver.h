/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Save a machine as a mapped-ram snapshot; whatever happens, the guest runs
 * afterwards if it ran before.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "host/machine.h"
#include "host/profiling.h"
#include "host/progress.h"
#include "host/saved-machine.h"

typedef struct SaveOptions {
    const char *output; /* absolute */
    SaveDisks disks;
    /* Record the order of first touches after the save, and write it beside
     * the snapshot; NULL: do not. */
    const ProfileTime *profile;
    /* Readable: give up, cleanly; -1: none.  What made it readable is read;
     * when it is readable again, give up without waiting for QEMU. */
    int interrupt_fd;
    /* Tell the user what comes up on the way. */
    void (*say)(const char *text);
    const Progress *progress; /* NULL: silent */
} SaveOptions;

typedef struct SaveResult {
    uint64_t stored_bytes; /* what the file takes on disk */
    int64_t stopped_us;    /* how long the guest stood still, from our "stop"
                              to its "cont"; 0: it was paused before */
    int64_t window_us;     /* so much of it for opening the window */
    int64_t total_us;      /* until the snapshot was in place */
    json_t *profile;       /* of query-profile, a new reference; NULL: none */
} SaveResult;

/* Save the guest of machine.  The file at output is only ever replaced by a
 * whole snapshot.  UTIL_ERROR_INTERRUPTED after a signal; but a signal that
 * comes while profiling ends just that. */
bool saver_run(Machine *machine, const SaveOptions *options,
               SaveResult *ret_result, GError **error);
