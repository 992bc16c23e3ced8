/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What two machines cannot share, for one load of a machine.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/saved-build.h"

/* Refuse a set that names nothing: UTIL_ERROR_USAGE, which lists what there is.
 */
bool saved_resources_check_sets(const SavedBuild *build, GError **error);

/* Have the arguments name what this load has: what sets say, and else a path in
 * the load's folder.  Refuse what is neither free nor can be placed. */
bool saved_resources_use(SavedBuild *build, GError **error);
