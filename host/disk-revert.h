/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Revert the disks of a machine to an internal snapshot, as QEMU's loadvm
 * does.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/rpc.h"

/*
 * Revert every writable disk of a QEMU that waits for an incoming migration to
 * the snapshot tag.  Such a QEMU has its images open, but uses nothing of them
 * before the migration is through; it reads them anew then.
 *
 * disk_fd leads to the disk with the machine's state, which must be one of
 * them, and is called disk in messages.  directory: QEMU's working directory.
 * qemu: its program, or NULL; qemu-img is looked for beside it, then in $PATH.
 *
 * Whatever is wrong is found before the first disk is changed: a disk that is
 * no qcow2 or lacks the snapshot, one that another program has open.
 */
bool disk_revert(Rpc *qmp, const char *tag, int disk_fd, const char *disk,
                 const char *directory, const char *qemu, GError **error);
