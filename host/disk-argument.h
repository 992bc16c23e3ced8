/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An argument of QEMU that opens a disk, made to open an overlay instead.
 *
 * Source: QEMU, qemu-options.hx and qapi/block-core.json.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/manifest.h"

/* Have the argument of argv (without the program; its strings are replaced)
 * that opened disk open overlay, a qcow2 image: -drive, -blockdev in one node
 * or in two, -hda and the like.  UTIL_ERROR_FAILED, which names the disk, where
 * the argument has options that belong to the image it names.  The disk has
 * been checked. */
bool disk_argument_set(char **argv, const ManifestDisk *disk,
                       const char *overlay, GError **error);

/* Refuse a disk that no argument names: it was plugged in, or its medium was
 * changed, while the guest ran. */
bool disk_argument_check(const ManifestDisk *disk, GError **error);

/* The format to give an overlay's backing file, as qemu-img calls it. */
const char *disk_argument_format(const ManifestDisk *disk);
