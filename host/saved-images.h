/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The images that a save has left to its snapshot, with the guest going on in
 * overlays.  Who writes to one spoils the snapshot, and the overlays on it.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/load-command.h"
#include "host/rpc.h"

/* Refuse a machine that was put together by hand and has such an image as a
 * disk to write to.  identity: the snapshot's; a manifest of another one is
 * not looked at.  directory: QEMU's working directory. */
bool saved_images_check(const LoadOptions *options, const char *identity,
                        Rpc *qmp, const char *directory, GError **error);

/* Ask QEMU for what that takes ahead of time. */
bool saved_images_ask_ahead(const LoadOptions *options, Rpc *qmp,
                            GError **error);
