/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What QEMU's own -loadvm would load.
 */
#pragma once

#include <stdbool.h>

/* Whether argv has -loadvm, and the state that it names is a mapped-ram image
 * in one of the disks that argv names.  QEMU loads such a state only with the
 * capability on, and others only with it off.  False if that is not
 * known. */
bool qemu_loadvm_is_mapped_ram(char *const *argv);
