/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The manifest of a running machine: gets what formats/manifest.h needs from
 * QEMU and its process.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

#include "formats/manifest.h"
#include "formats/ram-image.h"
#include "host/rpc.h"

/* Set what the QEMU behind qmp says of its machine: type, CPUs and
 * accelerator. */
bool machine_manifest_ask(Manifest *manifest, Rpc *qmp, GError **error);

/* Send its questions ahead (rpc_ask_ahead()). */
bool machine_manifest_ask_ahead(Rpc *qmp, GError **error);

/* Of the QEMU behind qmp, whose process is pid.  Sets all but disks, identity,
 * order, run-state and RAM blocks. */
Manifest *machine_manifest_collect(Rpc *qmp, pid_t pid, GError **error);

/* Add disks, of host/disks.h, as they are for the snapshot.  Their files are
 * looked at now, so the guest should stand still. */
bool machine_manifest_add_disks(Manifest *manifest, const GArray *disks,
                                GError **error);

/* Set what the RAM image tells. */
void machine_manifest_set_image(Manifest *manifest, const RamImage *image);
