/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The steps of a load that can refuse it, before anything is lost.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/guest-load-state.h"

/* Read the snapshot's headers and bitmaps, while QEMU starts. */
bool guest_load_open_image(GuestLoad *load, GError **error);

/* QEMU's monitor answers: ask what a load wants to know of it. */
bool guest_load_set_ready(GuestLoad *load, GError **error);

/* Whether the snapshot's RAM is the machine's; where it is not, what else is
 * different may say why. */
bool guest_load_check_ram(GuestLoad *load, GError **error);

/* Whether the rest of the machine is fit for it. */
bool guest_load_check_devices(GuestLoad *load, GError **error);

/* A machine that lies in its disk goes on with its disks as they were. */
bool guest_load_revert_disks(GuestLoad *load, GError **error);

/* Whether snapshot and disks are what they were when they were checked.  Looked
 * at once the plugin has opened the snapshot, and notes changes itself. */
bool guest_load_check_unchanged(const GuestLoad *load, GError **error);
