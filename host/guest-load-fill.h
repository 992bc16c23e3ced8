/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The steps of a load from the taking over of guest RAM until the guest runs.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/guest-load-state.h"

/* Have the plugin take over guest RAM of a machine whose RAM has been compared
 * with the snapshot's.  The answer is not waited for. */
bool guest_load_begin(GuestLoad *load, GError **error);

/* Go on until the guest runs. */
bool guest_load_complete(GuestLoad *load, GError **error);
