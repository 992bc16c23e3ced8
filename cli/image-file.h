/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A snapshot that a command was given: a file of its own, or a tag in a qcow2.
 */
#pragma once

#include <stdint.h>

#include <glib.h>

#include "formats/ram-image.h"

/* For a command's table of options; value: a char **, for g_free(). */
/* clang-format off */
#define IMAGE_TAG_OPTION(value)                                    \
    {"tag", 0, 0, G_OPTION_ARG_STRING, value,                      \
     "FILE is a qcow2 image; use this snapshot in it", "NAME"}
/* clang-format on */

/* The image in the file that fd leads to, which the caller keeps; path is what
 * messages call it.  tag: NULL where there is none. */
RamImage *image_file_open_fd(int fd, const char *path, const char *tag,
                             uint64_t off_bytes, GError **error);

/* The same of the file at path. */
RamImage *image_file_open(const char *path, const char *tag, uint64_t off_bytes,
                          GError **error);
