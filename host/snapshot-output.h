/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The file that QEMU writes a snapshot to, by a descriptor that we give it.
 * Nothing but the descriptors of its beginning leads to it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/ram-image.h"
#include "formats/run-state.h"

typedef struct SnapshotOutput SnapshotOutput;

/* As output_file_new(). */
SnapshotOutput *snapshot_output_new(const char *path, GError **error);

/* Removes the file unless it has been published.  NULL is fine. */
void snapshot_output_free(SnapshotOutput *output);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SnapshotOutput, snapshot_output_free)

/* The temporary file's path, for messages; owned by output. */
const char *snapshot_output_name(const SnapshotOutput *output);

/* The descriptor that is for QEMU: what it is opened for there has to be its
 * access mode, so it can only be written to.  Owned by output. */
int snapshot_output_qemu_fd(const SnapshotOutput *output);

/* Open it for reading, as output_file_open(). */
int snapshot_output_open(const SnapshotOutput *output, GError **error);

/* QEMU has written a device state and nothing else.  Tell the run state in it
 * (false: there is none), and have QEMU begin again at the file's start: it
 * shares its descriptor's position with ours. */
bool snapshot_output_rewind(SnapshotOutput *output, RunState *ret_state);

/* QEMU has written a snapshot: check that it can be read.  was_running: the
 * guest was stopped for the save, so that QEMU wrote "paused" down; but it is
 * to run where it is loaded, and the file says so then. */
bool snapshot_output_finish(SnapshotOutput *output, bool was_running,
                            GError **error);

/* As output_file_publish(). */
bool snapshot_output_publish(SnapshotOutput *output, uint64_t *ret_stored_bytes,
                             GError **error);
