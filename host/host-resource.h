/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Something of this host that an argument of QEMU names (formats/manifest.h):
 * whether QEMU creates it, and whether another program has it.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/manifest.h"
#include "host/qemu-command.h"

/* Whether QEMU makes the socket, or listens at the port, that option names.
 * Otherwise it uses one that is there. */
bool host_resource_is_made(const QemuOption *option, ManifestResourceKind kind);

/* Whether somebody listens at the port, or has the network interface, that
 * resource would be if it were called name, so that a QEMU cannot start with
 * it.  option: that which names the resource. */
bool host_resource_is_taken(const QemuOption *option,
                            const ManifestResource *resource, const char *name);

/* The first port or interface of argv (without the program) that is taken,
 * "host port 2222", for g_free(); NULL: there is none. */
char *host_resource_find_taken(char *const *argv);

/* "host port 2222", "socket /run/a", for g_free(). */
char *host_resource_describe(ManifestResourceKind kind, const char *value);
