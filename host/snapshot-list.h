/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The snapshots in a directory.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/manifest.h"
#include "formats/ram-image.h"

typedef struct ListedSnapshot {
    char *name; /* in the folder */
    char *path;
    RamImage *image;       /* NULL: there is none, or it cannot be read */
    uint64_t stored_bytes; /* of the image, on disk */
    Manifest *manifest;    /* NULL: likewise */
    char *problem;         /* what is wrong with it; NULL: nothing */
} ListedSnapshot;

/* Those in directory by their names: files in the mapped-ram format, and
 * manifests whose image is gone.  A GPtrArray of ListedSnapshot, which frees
 * them. */
GPtrArray *snapshot_list(const char *directory, GError **error);

/* One file, for snapshot_list_free_entry(); NULL: it is no snapshot. */
ListedSnapshot *snapshot_list_look(const char *path);
void snapshot_list_free_entry(gpointer entry);
