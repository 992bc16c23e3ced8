/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writes a pack, chunk by chunk.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-span.h"
#include "formats/ram-image.h"

typedef struct PackWriter PackWriter;

/* Write a pack of image, whose bitmaps have been read, into the empty file that
 * fd leads to; both are borrowed. */
PackWriter *pack_writer_new(int fd, const RamImage *image);

/* NULL is fine. */
void pack_writer_free(PackWriter *writer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PackWriter, pack_writer_free)

/* Add a chunk: at least one span, and the spans' pages one after the other,
 * pages_len_bytes in all, at most PACK_CHUNK_BYTES.  FORMATS_ERROR_TOO_LARGE,
 * or UTIL_ERROR, without the file's name. */
bool pack_writer_add(PackWriter *writer, const PageSpan *spans, size_t n_spans,
                     const void *pages, size_t pages_len_bytes, GError **error);

/* Write the table and the head.  The file is a pack then; it has not been
 * synced. */
bool pack_writer_finish(PackWriter *writer, GError **error);
