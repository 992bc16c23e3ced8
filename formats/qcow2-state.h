/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The state of a machine in an internal snapshot of a qcow2 image, as bytes to
 * read: also while a QEMU has the image open and writes to it.
 *
 * A snapshot's clusters keep their contents for as long as the snapshot is
 * there: the guest's writes go to others.  When QEMU deletes it, the table
 * without it is in the file before the first of its clusters is free to be
 * written to.  So whoever has read bytes, and finds the snapshot in the table
 * after that, has read the snapshot's bytes.  byte_source_read_at() looks so
 * after each read: FORMATS_ERROR_CHANGED, and no bytes, where the snapshot is
 * gone.  Its date is part of the entry, to the nanosecond: one that was made
 * later under the same name is another.
 *
 * byte_source_check_unchanged() tells whether a read has found it gone, and, as
 * long as it is there, whether its clusters are still those that they were.
 *
 * Not noticed: a program that writes into the image and is no QEMU, and a host
 * that writes where this one sees old contents (network file systems).
 *
 * Source: QEMU, qcow2_snapshot_delete() and qcow2_write_snapshots() in
 * block/qcow2-snapshot.c.
 */
#pragma once

#include <glib.h>

#include "formats/byte-source.h"

/* The state in the snapshot tag (its name or ID) of the image disk, which is
 * taken over, also by a failure.  It goes from its beginning to the end of its
 * last cluster, and is called "NAME, snapshot TAG".  NULL with
 * FORMATS_ERROR, or UTIL_ERROR where the image cannot be read. */
ByteSource *qcow2_state_open(ByteSource *disk, const char *tag, GError **error);
