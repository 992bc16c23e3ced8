/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Notices when a device is plugged in during a load that accesses guest RAM
 * without QEMU.
 *
 * Only RAM that belongs to a file (share=on) can be mapped by somebody else.
 * A device that pins RAM needs no watch: pinning is done in QEMU's name, and
 * waits for each page, or fails.
 *
 * QEMU has no event for any of this.  But nothing is plugged in without QEMU
 * opening something, so that it is left alone until the list of its open
 * files changes: commands that come to a QEMU that is about to end can crash
 * it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

#include "host/rpc.h"

typedef struct MachineWatch MachineWatch;

/* Begin to watch the QEMU in process pid, before machine_check_devices() looks
 * for what is there already.  blocks, its RAM, are borrowed until the end.
 * NULL: nobody can come to map this machine's RAM. */
MachineWatch *machine_watch_new(pid_t pid, const GArray *blocks);

/* NULL is fine. */
void machine_watch_free(MachineWatch *watch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MachineWatch, machine_watch_free)

/* Look whether somebody has come.  ret_found: NULL, or who it is and why that
 * is a problem, for g_free(). */
bool machine_watch_look(MachineWatch *watch, Rpc *qmp, char **ret_found,
                        GError **error);
