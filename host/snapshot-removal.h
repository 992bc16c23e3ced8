/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Removing a snapshot and the files that only it needs.
 *
 * The RAM image, its order and its manifest are removed.  Of the disk images,
 * only those that a save has made can be removed: the image that the user began
 * with is the user's.  And of these only those that nothing needs: no other
 * manifest and no image in the directories of snapshot and image, and no
 * process.  Overlays elsewhere are not found, so images are removed only on
 * request.
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
