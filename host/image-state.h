/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether the disk image of a snapshot is unchanged.
 *
 * Source: QEMU, block/file-posix.c: whoever has a permission on an image holds
 * a shared lock on the byte RAW_LOCK_PERM_BASE + number of the permission.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <glib.h>

#include "formats/manifest.h"

/* Who has a file open. */
typedef struct ImageUser {
    pid_t pid; /* 0: it cannot be seen from here */
    char name[32];
} ImageUser;

/* Whether a QEMU may write to the image now, or with any_use has it open at
 * all.  False as well where the image cannot be opened. */
bool image_state_is_used(const char *path, bool any_use, ImageUser *ret_user);

/* Note by what a change of the image is told later: its length, time and inode,
 * of the last two as many bits as the numbers of a manifest have. */
void image_state_note(ManifestDisk *disk, const struct stat *image);

/* Refuse an image that is missing, that a QEMU may write to at present, or
 * that has changed since the save.  The message names disk and image. */
bool image_state_check(const ManifestDisk *disk, GError **error);
