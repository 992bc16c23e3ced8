/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The option that says where in its file a snapshot's image begins.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

/* The option, for a command's table of them; text: a char **. */
/* clang-format off */
#define IMAGE_OFFSET_OPTION(text)                          \
    {"offset", 0, 0, G_OPTION_ARG_STRING, text,            \
     "Offset of the image in the snapshot file (default: 0)", "BYTES"}
/* clang-format on */

/* What the option says; text NULL: it was not given, and the image begins
 * with the file.  UTIL_ERROR_USAGE. */
bool image_offset_parse(const char *text, uint64_t *ret_bytes, GError **error);
