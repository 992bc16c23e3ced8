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
    uint64_t ram_bytes;              /* length of all blocks together */
    uint64_t device_state_off_bytes; /* first byte after the RAM section */
    /* Set when the bitmaps are read. */
    uint64_t device_state_len_bytes; /* without the zeroes behind it */
    char *identity;                  /* 64 hexadecimal digits */
} RamImage;

/*
 * An image is read in two steps, since a file of some kilobytes may claim to
 * be one of many terabytes:
 *
 * ram_image_open_headers() reads all headers and checks every offset and
 * length against the file, the blocks against each other.  Whatever the file
 * claims, that takes no more than some 6 MiB: 1.5 for RAM_IMAGE_MAX_BLOCKS
 * blocks, and 4 where the RAM section has to be searched.  The blocks have no
 * bitmaps yet.
 *
 * ram_image_read_bitmaps() reads the bitmaps, a bit for each page, and computes
 * the identity.  It takes 32 KiB for each GiB of RAM of 4 KiB pages; so those
 * who know how much RAM the image may have compare ram_bytes before
 * (ram_image_check_ram()).  Of a file that says nothing more, as much memory is
 * taken as the file itself takes on disk, 64 MiB at the least and 1 GiB at the
 * most: FORMATS_ERROR_TOO_LARGE beyond.
 *
 * Errors are FORMATS_ERROR, or UTIL_ERROR where the file cannot be read, and
 * begin with the file's name.
 */

#define RAM_IMAGE_MAX_BLOCKS 4096

/* Nothing in the file says where the device state ends, and files are padded
 * with zeroes: so it ends with the last byte that is none, and at this length
 * at the latest. */
#define RAM_IMAGE_MAX_DEVICE_STATE_BYTES (UINT64_C(256) << 20)

/* The headers of the image that begins image_off_bytes into source, which is
 * taken over, also by a failure.  A new RamImage for ram_image_free(). */
RamImage *ram_image_open_headers(ByteSource *source, uint64_t image_off_bytes,
                                 GError **error);

/* Once after ram_image_open_headers(). */
bool ram_image_read_bitmaps(RamImage *image, GError **error);

/* Whether the image has no more than max_ram_bytes of RAM; else
 * FORMATS_ERROR_TOO_LARGE. */
bool ram_image_check_ram(const RamImage *image, uint64_t max_ram_bytes,
                         GError **error);

/*
 * Both steps in one.
 *
 * The identity is the SHA-256 over machine name, the blocks' names, lengths,
 * page sizes and bitmaps, and the device state: over all but the pages and the
 * offsets, so that it costs little and stays the same when the image is moved
 * inside a file, or padded.
 */
RamImage *ram_image_open_source(ByteSource *source, uint64_t image_off_bytes,
                                GError **error);

/* The same of the file at path. */
RamImage *ram_image_open(const char *path, uint64_t image_off_bytes,
                         GError **error);

/* The same of the file that fd leads to, which the caller keeps and may
 * close; name is what messages call it. */
RamImage *ram_image_open_fd(int fd, const char *name, uint64_t image_off_bytes,
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
