/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Images for tests, opened as a file "vm.snap" would be.
 */
#pragma once

#include "tests/formats/support.h"

#include "formats/ram-image.h"
#include "tests/formats/image.h"

/* The image that begins there in bytes; NULL with error: it is refused. */
RamImage *opened_image_from(GBytes *bytes, uint64_t image_off_bytes,
                            GError **error);
RamImage *opened_image(const Image *image, GError **error);

/* The same where nothing may be wrong with it; and where this is. */
RamImage *opened_image_valid(const Image *image);
void opened_image_refuse(const Image *image, FormatsError code,
                         const char *text);
