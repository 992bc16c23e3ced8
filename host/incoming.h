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

typedef struct Incoming Incoming;

/* The skeleton of image without the lazy blocks (formats/skeleton.h), as a
 * descriptor for incoming_new() that the caller closes; -1 with an error. */
int incoming_make_skeleton(const RamImage *image, const bool *lazy,
                           GError **error);

/* Refuse a QEMU that does not wait for us to name what it is to load
 * (-incoming defer). */
bool incoming_check_deferred(Machine *machine, GError **error);

/* Give QEMU the file fd, which is open for reading only, with an image
 * off_bytes into it, and the migration settings that loading it takes.  QEMU
 * gets the descriptor, so that no name is looked up over there.  machine is
 * borrowed. */
Incoming *incoming_new(Machine *machine, int fd, uint64_t off_bytes,
                       GError **error);

/* A QEMU that the image could not be loaded into is to be ended: it hears no
 * more of us, since up to 10.0 at least it crashes when a command comes while
 * it ends.  NULL is fine. */
void incoming_free(Incoming *incoming);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Incoming, incoming_free)

/* Have QEMU load it. */
bool incoming_load(Incoming *incoming, GError **error);

/* QEMU's settings become what they were, and the file is closed over there. */
bool incoming_end(Incoming *incoming, GError **error);
