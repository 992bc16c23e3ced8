/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The directory of one load: it has what QEMU writes for this load alone, the
 * overlays of its disks, its sockets, pid file and logs.
 *
 * It is /var/tmp/preheat-load-XXXXXX, or in $TMPDIR, for this user only, and is
 * removed with the load.  It is on disk, not in a memory file system, because
 * overlays may become as large as their disks.  The next load removes the
 * directory of a load whose preheat and QEMU were killed.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct LoadFolder LoadFolder;

/* kept: the folder's path, to be made, or empty; it stays, with all that is in
 * it.  NULL: a new one as above.  The processes that are started from now on
 * have a descriptor of it: the folder is in use until they end, too. */
LoadFolder *load_folder_new(const char *kept, GError **error);

/* The load has ended.  Removes the folder, unless it is to stay; NULL is
 * fine. */
void load_folder_free(LoadFolder *folder);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(LoadFolder, load_folder_free)

/* Nothing in it is worth keeping: the folder goes, also where it was to stay.
 */
void load_folder_discard(LoadFolder *folder);

/* Owned by folder. */
const char *load_folder_path(const LoadFolder *folder);

/* A path in the folder that nothing has yet, "FOLDER/NAME" or a similar one,
 * for g_free(). */
char *load_folder_place(LoadFolder *folder, const char *name);

/* What somebody else has made in the folder that a snapshot needs: an image
 * that savevm has put on one of the overlays.  For g_free(); NULL: nothing. */
char *load_folder_find_saved(const LoadFolder *folder);
