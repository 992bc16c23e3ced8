/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Removing a snapshot, with what belongs to it alone.
 *
 * The RAM image, its order and its manifest go.  Of the disks only such images
 * can go as a save has made: the image that the user began with is his.  And of
 * these only what nothing needs, as far as can be seen: no other manifest and
 * no image in the folders of snapshot and image, and no process.  An overlay
 * somewhere else is not seen; so images go only when that is asked for.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct KeptFile {
    char *path;
    char *reason; /* "vm2.snap needs it" */
} KeptFile;

typedef struct SnapshotRemoval {
    GPtrArray *files; /* paths, in the sequence in which they are to go: the
                         manifest, which tells what else there is, at the end */
    GArray *kept;     /* of KeptFile: what belongs to it and stays */
} SnapshotRemoval;

/* Look what is to go.  with_images: also the images of disks.  Nothing is
 * removed yet.  UTIL_ERROR_FAILED where path is no snapshot. */
SnapshotRemoval *snapshot_removal_new(const char *path, bool with_images,
                                      GError **error);

/* NULL is fine. */
void snapshot_removal_free(SnapshotRemoval *removal);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SnapshotRemoval, snapshot_removal_free)

/* Remove the files.  What is gone already is no failure. */
bool snapshot_removal_execute(const SnapshotRemoval *removal, GError **error);
