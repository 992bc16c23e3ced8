/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/pack-writer.h"

#include <string.h>

#include <zstd.h>

#include "formats/error.h"
#include "formats/pack-layout.h"
#include "formats/pack.h"
#include "util/file.h"

struct PackWriter {
    int fd; /* borrowed, as the next */
    const RamImage *image;
    ZSTD_CCtx *zstd;
    void *frame; /* of frame_bytes: the largest that a chunk can become */
    size_t frame_bytes;
    uint64_t off_bytes; /* where the next chunk goes */
    uint64_t n_chunks;
    uint64_t n_spans;
    GString *chunks; /* the table's part for each of them */
};

PackWriter *pack_writer_new(int fd, const RamImage *image)
{
    PackWriter *writer = g_new0(PackWriter, 1);

    writer->fd = fd;
    writer->image = image;
    writer->zstd = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1);
    writer->frame_bytes = ZSTD_compressBound(PACK_CHUNK_BYTES);
    writer->frame = g_malloc(writer->frame_bytes);
    writer->off_bytes = PACK_HEAD_BYTES;
    writer->chunks = g_string_new(NULL);
    return writer;
}

void pack_writer_free(PackWriter *writer)
{
    if (writer) {
        ZSTD_freeCCtx(writer->zstd);
        g_string_free(writer->chunks, TRUE);
        g_free(writer->frame);
        g_free(writer);
    }
}

/* The frame's last four bytes, which are little-endian. */
static uint32_t checksum_of(const uint8_t *frame, size_t len_bytes)
{
    uint32_t checksum;

    memcpy(&checksum, &frame[len_bytes - PACK_FRAME_CHECKSUM_BYTES],
           sizeof(checksum));
    return GUINT32_FROM_LE(checksum);
}

static void put_chunk(PackWriter *writer, size_t len_bytes,
                      const PageSpan *spans, size_t n_spans)
{
    uint64_t end = 0;

    encoding_put_varint(writer->chunks, len_bytes);
    encoding_put_be(writer->chunks, checksum_of(writer->frame, len_bytes),
                    PACK_FRAME_CHECKSUM_BYTES);
    encoding_put_varint(writer->chunks, n_spans);
    for (size_t i = 0; i < n_spans; i++) {
        encoding_put_varint(writer->chunks, spans[i].block);
        encoding_put_varint(writer->chunks,
                            encoding_fold(spans[i].first_page - end));
        encoding_put_varint(writer->chunks, spans[i].n_pages);
        end = page_span_end(&spans[i]);
    }
}

bool pack_writer_add(PackWriter *writer, const PageSpan *spans, size_t n_spans,
                     const void *pages, size_t pages_len_bytes, GError **error)
{
    size_t len_bytes =
        ZSTD_compress2(writer->zstd, writer->frame, writer->frame_bytes, pages,
                       pages_len_bytes);

    if (ZSTD_isError(len_bytes)) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "cannot be compressed: %s", ZSTD_getErrorName(len_bytes));
        return false;
    }
    if (writer->n_spans + n_spans > PACK_MAX_SPANS) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "more than %" G_GUINT64_FORMAT
                    " stretches of pages; preheat order trim makes the order "
                    "smaller",
                    PACK_MAX_SPANS);
        return false;
    }
    if (!file_write_at(writer->fd, writer->frame, len_bytes, writer->off_bytes,
                       error)) {
        return false;
    }
    put_chunk(writer, len_bytes, spans, n_spans);
    writer->off_bytes += len_bytes;
    writer->n_chunks++;
    writer->n_spans += n_spans;
    return true;
}

static GString *head_of(uint64_t table_off_bytes, uint64_t table_len_bytes)
{
    GString *head = g_string_new(NULL);

    g_string_append_len(head, PACK_MAGIC, PACK_MAGIC_BYTES);
    encoding_put_be(head, PACK_VERSION, 4);
    encoding_put_be(head, table_off_bytes + table_len_bytes, 8);
    encoding_put_be(head, table_off_bytes, 8);
    return head;
}

static bool write_ends(const PackWriter *writer, GString *table, GError **error)
{
    uint64_t len_bytes = table->len + PACK_DIGEST_BYTES;
    GString *head = head_of(writer->off_bytes, len_bytes);
    uint8_t hash[PACK_DIGEST_BYTES];

    encoding_digest(head->str, head->len, table->str, table->len, hash);
    g_string_append_len(table, (const char *)hash, sizeof(hash));
    bool ok = file_write_at(writer->fd, table->str, table->len,
                            writer->off_bytes, error) &&
              file_write_at(writer->fd, head->str, head->len, 0, error);
    g_string_free(head, TRUE);
    return ok;
}

bool pack_writer_finish(PackWriter *writer, GError **error)
{
    GString *table = g_string_new(NULL);
    bool ok = true;

    encoding_put_hex(table, writer->image->identity);
    encoding_put_varint(table, writer->n_chunks);
    g_string_append_len(table, writer->chunks->str,
                        (gssize)writer->chunks->len);
    if (table->len + PACK_DIGEST_BYTES > PACK_MAX_TABLE_BYTES) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "the table of its pages would be too long; preheat order "
                    "trim makes the order smaller");
        ok = false;
    }
    ok = ok && write_ends(writer, table, error);
    g_string_free(table, TRUE);
    return ok;
}
