/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The user's text editor.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

/* Let the user edit the file at path with $VISUAL, $EDITOR or vi, and wait
 * until that is done.  False with UTIL_ERROR_FAILED if the editor cannot be
 * started or says that it failed. */
bool editor_run(const char *path, GError **error);
