/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A pack: the pages of an order once more, compressed and in the sequence in
 * which they are loaded, for one image.  docs/pack-format.md specifies it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/byte-source.h"
#include "formats/page-span.h"
#include "formats/ram-image.h"

#define PACK_VERSION 1
/* What is in a chunk at the most, uncompressed. */
#define PACK_CHUNK_BYTES (UINT64_C(1) << 20)
/* Of all chunks together, and of the table that lists them. */
#define PACK_MAX_SPANS       (UINT64_C(4) << 20)
#define PACK_MAX_TABLE_BYTES (UINT64_C(64) << 20)

/* The name of an order's pack is the order's and this. */
#define PACK_SUFFIX ".pack"

/* Pages that are compressed together: those of its spans, one after the
 * other. */
typedef struct PackChunk {
    uint64_t off_bytes; /* in the pack */
    size_t len_bytes;
    size_t pages_len_bytes; /* uncompressed; at most PACK_CHUNK_BYTES */
    uint32_t checksum;      /* of the uncompressed pages */
    size_t first_span;      /* index into Pack.spans */
    size_t n_spans;
} PackChunk;

typedef struct Pack {
    ByteSource *source; /* owned */
    GArray *chunks;     /* of PackChunk */
    GArray *spans; /* of PageSpan, in the image's blocks: pages that the image
                      has in its file */
} Pack;

/*
 * Read the table of the pack in source, which is taken over, also by a failure,
 * and check that it is one of image, whose bitmaps have been read.
 *
 * Returns NULL with FORMATS_ERROR (FORMATS_ERROR_UNSUPPORTED: packed for
 * another image), or UTIL_ERROR where it cannot be read; the message begins
 * with the source's name.
 */
Pack *pack_open(ByteSource *source, const RamImage *image, GError **error);

/* NULL is fine. */
void pack_free(Pack *pack);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pack, pack_free)

static inline const PackChunk *pack_chunk(const Pack *pack, size_t i)
{
    return &g_array_index(pack->chunks, PackChunk, i);
}

static inline const PageSpan *pack_span(const Pack *pack, size_t i)
{
    return &g_array_index(pack->spans, PageSpan, i);
}

/*
 * Read chunk i and unpack its pages into pages, which has room for
 * pages_len_bytes of it.  They are what was packed: checked against the chunk's
 * checksum.  For any number of threads at once.
 *
 * Returns false with errors as above, and pages undefined.
 */
bool pack_read_chunk(const Pack *pack, size_t i, void *pages, GError **error);
