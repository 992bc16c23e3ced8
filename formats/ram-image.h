/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reader of QEMU's mapped-ram snapshots: where each page of each RAM block
 * lies in the file, and which pages are in it at all.
 *
 * Source of the format: QEMU, docs/devel/migration/mapped-ram.rst and
 * migration/ram.c (since QEMU 9.0).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/* One RAM block.  All offsets count from the start of the file, also where
 * the image begins at an offset. */
typedef struct RamImageBlock {
    char *name;               /* QEMU's idstr, e.g. "pc.ram" */
    uint64_t len_bytes;       /* used length; a multiple of page_bytes */
    uint64_t page_bytes;      /* target page size; a power of two */
    uint64_t n_pages;         /* len_bytes / page_bytes */
    uint64_t n_pages_in_file; /* bits set in the bitmap */
    uint64_t bitmap_off_bytes;
    uint64_t bitmap_len_bytes;
    uint64_t pages_off_bytes;
    uint64_t *bitmap; /* bit i: page i is in the file, else it is zero */
} RamImageBlock;

typedef struct RamImage {
    char *path; /* as it was given, for messages */
    int fd;     /* O_RDONLY | O_CLOEXEC, owned */
    uint64_t image_off_bytes;
    uint64_t file_len_bytes;
    char *machine; /* e.g. "pc-i440fx-10.0" */
    RamImageBlock *blocks;
    size_t n_blocks;
    uint64_t device_state_off_bytes; /* first byte after the RAM section */
    char *identity; /* 64 hexadecimal digits, see ram_image_open() */
} RamImage;

/*
 * Open the snapshot that begins image_off_bytes into the file at path, and
 * read its headers and bitmaps.  Checked: every offset and length against the
 * file, the blocks against each other.
 *
 * identity is the SHA-256 over machine name, the blocks' names, lengths, page
 * sizes and bitmaps, and the device state: over all but the pages and the
 * offsets, so that it costs little and stays the same when the image is moved
 * inside a file.
 *
 * Returns a new RamImage, for ram_image_free(), or NULL with FORMATS_ERROR.
 */
RamImage *ram_image_open(const char *path, uint64_t image_off_bytes,
                         GError **error);

/* The same for the open file fd, which is named path in messages.  fd stays
 * the caller's. */
RamImage *ram_image_open_fd(int fd, const char *path, uint64_t image_off_bytes,
                            GError **error);

/* NULL is fine. */
void ram_image_free(RamImage *snapshot);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(RamImage, ram_image_free)

/* The block called name, or NULL; owned by the snapshot. */
const RamImageBlock *ram_image_find_block(const RamImage *snapshot,
                                          const char *name);

/* Whether page (an index, below n_pages) is in the file. */
static inline bool ram_image_block_has_page(const RamImageBlock *block,
                                            uint64_t page)
{
    return (block->bitmap[page / 64] >> (page % 64)) & 1;
}
