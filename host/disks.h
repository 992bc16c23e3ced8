/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The disks of a running QEMU: which images they are, and an overlay for
 * each, so that the image below stays as it is.
 *
 * Source: QEMU, qapi/block-core.json.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

#include "host/rpc.h"

typedef struct Disk {
    char *device; /* of -drive: its ID; NULL: none */
    char *qdev;   /* ID or QOM path of the device; NULL: none */
    char *node;   /* of the active image */
    char *file;   /* absolute; NULL: not a file of this host (nbd:, json:) */
    char *shown;  /* what QEMU calls the file, for messages */
    char *format; /* "qcow2" */
    char **chain; /* the active image and all below it that are files, absolute,
                     ends with NULL */
    bool read_only;
    char *overlay;      /* the file of its overlay; NULL: it has none */
    char *overlay_node; /* … and its node */
    bool is_unsure;     /* QEMU has not answered whether it has it */
} Disk;

/* The disks that have a medium: a GArray of Disk.  directory: QEMU's working
 * directory. */
GArray *disks_query(Rpc *qmp, const char *directory, GError **error);

/* A file name of QEMU's as an absolute path, for g_free(); NULL: it is none,
 * but "nbd://host", say. */
char *disks_absolute_path(const char *name, const char *directory);

/* What a message calls a disk: "drive0", "/machine/peripheral/d0". */
const char *disk_name(const Disk *disk);

/* Whether the guest can change what is in it. */
bool disk_is_writable(const Disk *disk);

/* How long the part of name is that an overlay's name begins with: all of it,
 * or where it is that of an overlay itself, what is before its tag. */
size_t disks_stem_len(const char *name);

/* Give each writable disk an overlay, all at one moment: "STEM.TAG.qcow2"
 * beside the image, so that no name grows from save to save, and for nobody to
 * read who may not read the image.  The guest should stand still.  Where that
 * fails, no disk has one; but where QEMU did not answer, as when it is
 * interrupted, some may: disks_remove_overlays() then finds out. */
bool disks_add_overlays(Rpc *qmp, GArray *disks, const char *tag,
                        GError **error);

/* Undo that: what was written into the overlays since goes into the images, the
 * disks are again these, and the overlays' files are removed. */
bool disks_remove_overlays(Rpc *qmp, GArray *disks, GError **error);
