/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest's pages as the simulator counts them: the blocks of a trace one
 * after the other as they lie in the file, and which pages are still to be
 * loaded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"

typedef struct SimBlock {
    const char *name; /* the trace's */
    uint64_t first;   /* number of its first page in the whole image */
    uint64_t n_pages;
    uint64_t page_bytes;
} SimBlock;

typedef struct SimImage {
    GArray *blocks;     /* of SimBlock, by first */
    uint32_t *of_trace; /* where each of the trace's blocks is in blocks */
    uint64_t n_pages;
    uint64_t *in_file; /* constant; all others are zero */
    uint64_t *pending; /* in the file, and nobody has claimed it yet */
    uint64_t *placed;  /* certainly there; a page that is in the file and
                          neither pending nor placed is in a piece of an
                          eager thread's */
} SimImage;

/* A run of pages inside one block. */
typedef struct SimRun {
    uint64_t first;
    uint64_t n_pages;
} SimRun;

/*
 * The image of trace's blocks.  snapshot says which pages are in the file;
 * without one (NULL) all are.  It must have every block of the trace, equally
 * long.  The trace must outlive the image.
 *
 * Returns NULL with FORMATS_ERROR.
 */
SimImage *sim_image_new(const PageOrder *trace, const RamImage *snapshot,
                        GError **error);

/* NULL is fine. */
void sim_image_free(SimImage *image);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimImage, sim_image_free)

static inline const SimBlock *sim_image_block(const SimImage *image, size_t i)
{
    return &g_array_index(image->blocks, SimBlock, i);
}

static inline size_t sim_image_index_of(const SimImage *image,
                                        const SimBlock *block)
{
    return (size_t)(block - sim_image_block(image, 0));
}

/* The block that page, below n_pages, lies in. */
const SimBlock *sim_image_block_of(const SimImage *image, uint64_t page);

/* The pages of an extent of the trace. */
SimRun sim_image_run(const SimImage *image, const PageExtent *extent);

/* The first set, or clear, bit from bit `from` on; end if there is none. */
uint64_t sim_next_set(const uint64_t *bits, uint64_t from, uint64_t end);
uint64_t sim_next_clear(const uint64_t *bits, uint64_t from, uint64_t end);

void sim_set(uint64_t *bits, uint64_t from, uint64_t end);
void sim_clear(uint64_t *bits, uint64_t from, uint64_t end);

static inline bool sim_test(const uint64_t *bits, uint64_t i)
{
    return (bits[i / 64] >> (i % 64)) & 1;
}
