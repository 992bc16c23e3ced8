/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The skeleton of a snapshot: a copy that has the device state, but neither
 * the pages nor the bitmap bits of the blocks that are loaded lazily.  QEMU
 * loads it in milliseconds.
 */
#pragma once

#include <stdbool.h>

#include "formats/ram-image.h"

/*
 * Write the skeleton of image into fd (an empty memfd or file, at the same
 * offsets as in the image; holes where there is nothing).  lazy[i] says
 * whether the image's block i is lazy; the others keep bitmap and pages.
 * Reads no page of a lazy block.
 *
 * Returns false with FORMATS_ERROR or UTIL_ERROR; fd's contents are then
 * undefined.
 */
bool skeleton_write(const RamImage *image, const bool *lazy, int fd,
                    GError **error);
