/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The parts of a machine that no snapshot contains: host directories that the
 * guest sees, host devices, and what another program does for QEMU.
 */
#pragma once

#include <glib.h>

/* A sentence about each that argv (without the program) names: a GPtrArray of
 * texts, which frees them. */
GPtrArray *machine_outside_find(char *const *argv);
