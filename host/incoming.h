/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What QEMU itself loads: a whole image, or just its skeleton, out of a file
 * that we have opened.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/ram-image.h"
#include "host/machine.h"

/* The skeleton of image without the lazy blocks (formats/skeleton.h), as a
 * descriptor for incoming_load() that the caller closes; -1 with an error. */
int incoming_make_skeleton(const RamImage *image, const bool *lazy,
                           GError **error);

/* Refuse a QEMU that does not wait for us to name what it is to load
 * (-incoming defer). */
bool incoming_check_deferred(Machine *machine, GError **error);

/* Have QEMU load the image that begins off_bytes into the file fd, which is
 * open for reading only.  QEMU gets the descriptor, so that no name is looked
 * up over there, and closes it after that; its migration settings are
 * afterwards what they were. */
bool incoming_load(Machine *machine, int fd, uint64_t off_bytes,
                   GError **error);
