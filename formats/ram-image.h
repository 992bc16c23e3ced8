/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The parsed RAM of a QEMU snapshot in the mapped-ram format: where each page
 * of each RAM block lies in the file, and which pages are in it at all.
 *
 * Source of the format: QEMU, docs/devel/migration/mapped-ram.rst and
 * migration/ram.c (since QEMU 9.0).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/byte-source.h"
#include "formats/ram-image-block.h"

typedef struct RamImage {
    ByteSource *source; /* owned */
    char *path;         /* the source's name, for messages */
    int fd;             /* the source's, or -1 */
    uint64_t image_off_bytes;
    uint64_t file_len_bytes;
    char *machine; /* e.g. "pc-i440fx-10.0" */
    RamImageBlock *blocks;
    size_t n_blocks;
    uint64_t device_state_off_bytes; /* first byte after the RAM section */
    char *identity; /* 64 hexadecimal digits, see ram_image_open() */
} RamImage;

/*
 * Open the image that begins image_off_bytes into the file at path, and read
 * its headers and bitmaps.  Checked: every offset and length against the
 * file, the blocks against each other.
 *
 * identity is the SHA-256 over machine name, the blocks' names, lengths, page
 * sizes and bitmaps, and the device state: over all but the pages and the
 * offsets, so that it costs little and stays the same when the image is moved
 * inside a file.
 *
 * Returns a new RamImage, for ram_image_free(), or NULL with FORMATS_ERROR,
 * or UTIL_ERROR where the file cannot be read.
 */
RamImage *ram_image_open(const char *path, uint64_t image_off_bytes,
                         GError **error);

/* The same of the file that fd leads to, which the caller keeps and may
 * close; name is what messages call it. */
RamImage *ram_image_open_fd(int fd, const char *name, uint64_t image_off_bytes,
                            GError **error);

/* The same of source, which is taken over, also by a failure. */
RamImage *ram_image_open_source(ByteSource *source, uint64_t image_off_bytes,
                                GError **error);

/* Whether the file is still the one that was opened; see
 * byte_source_check_unchanged().  To be called when all is read, and where
 * reading fails. */
bool ram_image_check_unchanged(const RamImage *image, GError **error);

/* NULL is fine. */
void ram_image_free(RamImage *image);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(RamImage, ram_image_free)

/* The block called name, or NULL; owned by the image. */
const RamImageBlock *ram_image_find_block(const RamImage *image,
                                          const char *name);
