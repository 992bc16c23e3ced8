/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The snapshot that a command is to look at beside an order: --snapshot, and
 * where in that file it is.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cli/image-file.h"
#include "cli/image-offset.h"

/* The options as they were given. */
typedef struct ImageChoice {
    char *path; /* NULL: no snapshot */
    char *offset;
    char *tag;
} ImageChoice;

/* For a command's table of options; text: what --snapshot is for. */
/* clang-format off */
#define IMAGE_CHOICE_OPTIONS(choice, text)                            \
    {"snapshot", 0, 0, G_OPTION_ARG_FILENAME, &(choice)->path, text,  \
     "FILE"},                                                         \
    IMAGE_OFFSET_OPTION(&(choice)->offset),                           \
    IMAGE_TAG_OPTION(&(choice)->tag)
/* clang-format on */

void image_choice_clear(ImageChoice *choice);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImageChoice, image_choice_clear)

/* *ret_image: the image, for ram_image_free(); NULL where no snapshot was
 * given.  UTIL_ERROR_USAGE where the options do not go together. */
bool image_choice_open(const ImageChoice *choice, RamImage **ret_image,
                       GError **error);
