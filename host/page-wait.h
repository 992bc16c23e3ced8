/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waiting until pages are loaded, and reporting progress.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/control-protocol.h"
#include "host/machine.h"
#include "host/progress.h"

/* Of a QEMU that we start.  What goes wrong meanwhile comes as the plugin's
 * events. */
bool page_wait(Machine *machine, LoadGoal goal, const Progress *progress,
               GError **error);
