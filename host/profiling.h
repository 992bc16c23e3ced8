/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The program's side of profiling a guest in place: the window opens while
 * the guest is stopped after its save, and closes by itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#include "host/progress.h"
#include "host/rpc.h"

#define PROFILE_MAX_MS 30000 /* where nobody asked for another time */
#define PROFILE_MIN_MS 3000  /* first touches cannot have died down before */

typedef struct ProfileTime {
    bool settle;    /* end when first touches have died down */
    int64_t min_ms; /* but not before */
    int64_t max_ms; /* and in any case then */
} ProfileTime;

/* Parse "SECONDS", or NULL for the default: settle, at most PROFILE_MAX_MS.
 * UTIL_ERROR_USAGE. */
bool profile_time_parse(const char *text, ProfileTime *ret_time,
                        GError **error);

/* Where the order of the snapshot at that path goes; for g_free(). */
char *profile_order_path(const char *snapshot_path);

/* Let what the plugin is at come to its end before a save: a load is loaded
 * to its end, at full speed, unless it has failed; a window is closed. */
bool profiling_make_quiet(Rpc *control, GError **error);

typedef struct Profiling Profiling;

/* Ask QEMU and the plugin for what opening the window takes, while the guest
 * still runs.  control (taken over) and qmp (borrowed) lead to one QEMU.  The
 * order goes beside snapshot_path in the end.  Where control has an interrupt
 * fd, that ends waiting for the plugin. */
Profiling *profiling_new(Rpc *qmp, Rpc *control, const ProfileTime *time,
                         const char *snapshot_path, GError **error);

/* NULL is fine; a window that is open goes on. */
void profiling_free(Profiling *profiling);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Profiling, profiling_free)

/* Open the window for the snapshot that was just written to snapshot_fd, which
 * stays the caller's and is called name in messages; the guest is stopped.
 * tag: that snapshot of a qcow2; NULL: a file of its own. */
bool profiling_start(Profiling *profiling, int snapshot_fd, const char *name,
                     const char *tag, GError **error);

/* A loaded guest touches a few pages that a guest which runs on does not: QEMU
 * reads the option ROMs of a PC when it loads the device state, and has the
 * guest announce its network addresses.  Have QEMU do the same in the window,
 * before the guest runs, so that the order has these pages.  If that fails, the
 * order lacks them. */
void profiling_act_loaded(Profiling *profiling);

/* The snapshot could not be published: close the window, and leave what order
 * there is. */
void profiling_discard(Profiling *profiling);

/* Wait until the window is closed and its order written.  at_once, or when the
 * interrupt fd becomes readable, it is closed now.  progress may be NULL.
 * ret_result: what the control protocol's query-profile returns, a new
 * reference; NULL if QEMU has ended and left its order. */
bool profiling_finish(Profiling *profiling, bool at_once,
                      const Progress *progress, json_t **ret_result,
                      GError **error);
