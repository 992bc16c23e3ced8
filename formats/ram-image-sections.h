/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a migration stream may have before RAM: the early sections of devices
 * whose state is needed to take RAM in (virtio-mem, from QEMU 11.1 on), and
 * commands.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/byte-source.h"

/*
 * Where in source the RAM section begins, the first section beginning at
 * off_bytes.
 *
 * Only QEMU's device knows how long its section is.  So the RAM section is
 * searched in the next RAM_IMAGE_SECTIONS_MAX_BYTES: a section header of that
 * name and version, followed by the header of a block whose offsets fit where
 * it stands in the file.  If there are two such places, who can say which one
 * QEMU means: FORMATS_ERROR_MALFORMED.  If there is none, it is the first that
 * has the section header, so that its reader says what is wrong with the rest;
 * and without such a header, FORMATS_ERROR_UNSUPPORTED names the section that
 * cannot be passed over.
 */
#define RAM_IMAGE_SECTIONS_MAX_BYTES (4 << 20)

bool ram_image_find_ram(const ByteSource *source, uint64_t off_bytes,
                        uint64_t *ret_off_bytes, GError **error);
