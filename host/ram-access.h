/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who accesses guest RAM without QEMU: another process that maps it, or
 * hardware that it is pinned for.  Their accesses do not wait for a page to be
 * loaded, and find zeroes, or what was there before.
 *
 * What the kernel does for QEMU (KVM, vhost-net, io_uring) is different:
 * it goes through QEMU's page tables, and waits as QEMU does.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

#include "host/ram-blocks.h"
#include "host/rpc.h"

typedef struct RamAccess {
    char *who;       /* "/machine/peripheral/gpu (vfio-pci)"; NULL: nobody */
    const char *why; /* a clause: "it pins guest RAM for the hardware" */
} RamAccess;

/* Ask QEMU ahead (rpc_ask_ahead()) what ram_access_find() needs. */
bool ram_access_ask_ahead(Rpc *qmp, GError **error);

/* Look for one: by what QEMU says of its devices, and by what the kernel says
 * of QEMU's process, pid, and of the RAM in blocks.  What cannot be
 * examined is a warning.  Free ret_access->who with g_free(). */
bool ram_access_find(Rpc *qmp, pid_t pid, const GArray *blocks,
                     GPtrArray *warnings, RamAccess *ret_access,
                     GError **error);

/* Look for a device that gives the guest's memory back to the host, and relies
 * on finding zeroes afterwards. */
bool ram_access_find_giver(Rpc *qmp, RamAccess *ret_access, GError **error);

/* Why an open file of QEMU's, by its name, means such an access; else
 * NULL. */
const char *ram_access_by_file(const char *name);

/* The first of QEMU's arguments that makes a network backend with such an
 * access, or NULL. */
const char *ram_access_by_arguments(GStrv arguments);
