/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One save of a QEMU at a time, through whichever of its monitors.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/machine.h"
#include "host/progress.h"

/*
 * Wait until no other preheat saves the QEMU behind machine.  ret_fd: holds
 * the lock until it is closed; -1 where QEMU's process cannot be seen from
 * here (another PID namespace, /proc with hidepid), and nothing is locked.
 */
bool save_lock_take(Machine *machine, const Progress *progress, int *ret_fd,
                    GError **error);
