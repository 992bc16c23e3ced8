/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The disks of a machine for one load of it.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/saved-build.h"

/* Refuse a disk whose image is not what it was (host/image-state.h), or that no
 * argument names. */
bool saved_disks_check(const SavedBuild *build, GError **error);

/* Have each disk that the guest can write to open a new overlay. */
bool saved_disks_add_overlays(SavedBuild *build, GError **error);

/* Warn of disks that the arguments name and the guest no longer had. */
void saved_disks_warn(const SavedBuild *build);
