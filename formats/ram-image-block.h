/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One RAM block of a RamImage.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

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

/* Whether page (an index, below n_pages) is in the file. */
static inline bool ram_image_block_has_page(const RamImageBlock *block,
                                            uint64_t page)
{
    return (block->bitmap[page / 64] >> (page % 64)) & 1;
}
