/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Start QEMU from a snapshot, and stay with it until it ends.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/load-command.h"

/* options->start_fd was closed without a line: QEMU has been ended, and there
 * was no guest. */
#define LOADER_NOT_WANTED (-1)

/* ret_status: how QEMU ended, as a shell has it, or LOADER_NOT_WANTED.  On an
 * error QEMU has been ended.  To be called before the process has a second
 * thread. */
bool loader_run(const LoadOptions *options, int *ret_status, GError **error);
