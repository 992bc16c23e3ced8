/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Load a snapshot into a QEMU that somebody else has started.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/load-command.h"

/*
 * Load into the QEMU at options->qmp_path, and return when its guest runs, or
 * with options->stay when all is loaded or QEMU has ended.
 *
 * On an error QEMU is as it was where it had not begun to load, and is ended
 * otherwise: half a guest is of no use, and no other one could be loaded.
 * UTIL_ERROR_INTERRUPTED: options->interrupt_fd has become readable.  Once the
 * guest runs, that ends our staying only.
 */
bool attach_run(const LoadOptions *options, GError **error);
