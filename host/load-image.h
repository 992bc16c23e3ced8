/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The snapshot that a load is of: its file, opened once, and what it says of
 * the machine.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/ram-image.h"
#include "formats/run-state.h"
#include "host/load-command.h"

/* The bitmaps of so much RAM, 2 MiB, are read while QEMU starts.  What claims
 * more is first compared with the machine. */
#define LOAD_IMAGE_EARLY_RAM_BYTES (UINT64_C(64) << 30)

typedef struct LoadImage {
    LoadFiles files;    /* opened once: plugin or QEMU get them, too */
    RamImage *snapshot; /* NULL: not read yet; or policy full, and only QEMU may
                           understand it */
    RunState run_state; /* the saved one; its name is empty: not known */
} LoadImage;

/* Open the file, or have it from the template. */
bool load_image_open(LoadImage *image, const LoadOptions *options,
                     GError **error);

void load_image_clear(LoadImage *image);

/* Read the headers, and the bitmaps of an image that is not large.  After an
 * error there is no snapshot. */
bool load_image_read(LoadImage *image, const LoadOptions *options,
                     GError **error);

/* Whether the file is what it was when it was read, and is still the one that
 * the options name. */
bool load_image_check_unchanged(const LoadImage *image,
                                const LoadOptions *options, GError **error);

/* Its machine must be known first. */
bool load_image_is_large(const LoadImage *image);

/* Read the bitmaps of a large image, for a machine that has so much RAM. */
bool load_image_read_late(const LoadImage *image, uint64_t machine_ram_bytes,
                          GError **error);

/* Where in the file the image has been found, or is said to be. */
uint64_t load_image_off_bytes(const LoadImage *image,
                              const LoadOptions *options);
