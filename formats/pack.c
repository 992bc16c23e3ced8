/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source of what is looked at in a zstd frame: RFC 8878, 3.1.1.
 */
#include "formats/pack.h"

#include <string.h>

#include <zstd.h>

#include "formats/error.h"
#include "formats/file-kind.h"
#include "formats/pack-layout.h"
#include "formats/reader.h"

#define CHUNK_MIN_BYTES 9 /* length, checksum of 4, number of spans, a span */
#define SPAN_MIN_BYTES  3 /* block, page, number of pages */

/* A frame's descriptor byte follows its magic number. */
#define FRAME_DESCRIPTOR_OFF 4
#define FRAME_HAS_CHECKSUM   0x04

/* The head and the table, as they are in the file. */
typedef struct Table {
    uint8_t head[PACK_HEAD_BYTES];
    uint64_t off_bytes;
    uint8_t *bytes; /* with the digest; owned */
    size_t len_bytes;
} Table;

static void table_clear(Table *table)
{
    g_free(table->bytes);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Table, table_clear)

/* ---- head ---- */

static bool check_magic(Reader *reader, GError **error)
{
    const uint8_t *bytes;

    if (!reader_bytes(reader, "the magic number", PACK_MAGIC_BYTES, &bytes,
                      error)) {
        return false;
    }
    return memcmp(bytes, PACK_MAGIC, PACK_MAGIC_BYTES) == 0 ||
           reader_fail_at(0, error, FORMATS_ERROR_NOT_THIS, "not a pack");
}

static bool check_length(Reader *reader, uint64_t is_bytes, GError **error)
{
    uint64_t len_bytes;

    if (!reader_be64(reader, "the file's length", &len_bytes, error)) {
        return false;
    }
    return len_bytes == is_bytes ||
           reader_fail_at(PACK_LENGTH_OFF, error,
                          len_bytes > is_bytes ? FORMATS_ERROR_TRUNCATED
                                               : FORMATS_ERROR_MALFORMED,
                          "should be %" G_GUINT64_FORMAT
                          " bytes long, is %" G_GUINT64_FORMAT,
                          len_bytes, is_bytes);
}

static bool read_table_place(Reader *reader, uint64_t file_bytes, Table *table,
                             GError **error)
{
    const uint64_t min_bytes = PACK_IDENTITY_BYTES + 1 + PACK_DIGEST_BYTES;

    if (!reader_be64(reader, "the table's offset", &table->off_bytes, error)) {
        return false;
    }
    if (table->off_bytes < PACK_HEAD_BYTES || table->off_bytes > file_bytes ||
        file_bytes - table->off_bytes < min_bytes) {
        return reader_fail_at(PACK_TABLE_OFF, error, FORMATS_ERROR_MALFORMED,
                              "no table can be at %" G_GUINT64_FORMAT,
                              table->off_bytes);
    }
    if (file_bytes - table->off_bytes > PACK_MAX_TABLE_BYTES) {
        return reader_fail_at(
            PACK_TABLE_OFF, error, FORMATS_ERROR_TOO_LARGE,
            "the table has %" G_GUINT64_FORMAT
            " bytes, at most %" G_GUINT64_FORMAT " are accepted",
            file_bytes - table->off_bytes, PACK_MAX_TABLE_BYTES);
    }
    table->len_bytes = (size_t)(file_bytes - table->off_bytes);
    return true;
}

static bool read_head(const ByteSource *source, Table *table, GError **error)
{
    size_t head_bytes;
    uint32_t version;

    if (!byte_source_read_some(source, table->head, sizeof(table->head), 0,
                               &head_bytes, error)) {
        return false;
    }
    Reader reader = reader_make(table->head, head_bytes, 0);
    if (!check_magic(&reader, error) ||
        !reader_be32(&reader, "the format's version", &version, error)) {
        return false;
    }
    if (version != PACK_VERSION) {
        return reader_fail_at(PACK_VERSION_OFF, error, FORMATS_ERROR_VERSION,
                              "format version %u, only version %d is known",
                              version, PACK_VERSION);
    }
    return check_length(&reader, source->len_bytes, error) &&
           read_table_place(&reader, source->len_bytes, table, error);
}

/* ---- table ---- */

static bool check_digest(const Table *table, GError **error)
{
    const size_t body_bytes = table->len_bytes - PACK_DIGEST_BYTES;
    uint8_t hash[PACK_DIGEST_BYTES];

    encoding_digest(table->head, sizeof(table->head), table->bytes, body_bytes,
                    hash);
    return memcmp(&table->bytes[body_bytes], hash, sizeof(hash)) == 0 ||
           reader_fail_at(table->off_bytes + body_bytes, error,
                          FORMATS_ERROR_CHECKSUM,
                          "the table's checksum does not match: not what was "
                          "written");
}

static bool read_table(const ByteSource *source, Table *table, GError **error)
{
    if (!read_head(source, table, error)) {
        return false;
    }
    table->bytes = g_try_malloc(table->len_bytes);
    if (!table->bytes) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "no memory for a table of %zu bytes", table->len_bytes);
        return false;
    }
    return byte_source_read_at(source, table->bytes, table->len_bytes,
                               table->off_bytes, error) &&
           check_digest(table, error);
}

static bool check_identity(Reader *reader, const RamImage *image,
                           GError **error)
{
    const uint8_t *bytes;

    if (!reader_bytes(reader, "the identity", PACK_IDENTITY_BYTES, &bytes,
                      error)) {
        return false;
    }
    g_autofree char *identity = encoding_to_hex(bytes, PACK_IDENTITY_BYTES);
    return strcmp(identity, image->identity) == 0 ||
           reader_fail_at(reader_off_bytes(reader) - PACK_IDENTITY_BYTES, error,
                          FORMATS_ERROR_UNSUPPORTED,
                          "packed for another snapshot than %s", image->path);
}

static bool has_all_pages(const RamImageBlock *block, const PageSpan *span)
{
    for (uint64_t i = 0; i < span->n_pages; i++) {
        if (!ram_image_block_has_page(block, span->first_page + i)) {
            return false;
        }
    }
    return true;
}

/* Whether the span's pages are pages of the image, and not more than are still
 * fit for the chunk. */
static bool check_span(const PageSpan *span, uint64_t off_bytes,
                       uint64_t max_bytes, const RamImage *image,
                       GError **error)
{
    const RamImageBlock *block = &image->blocks[span->block];

    if (span->first_page >= block->n_pages ||
        span->n_pages > block->n_pages - span->first_page ||
        span->n_pages > max_bytes / block->page_bytes ||
        !has_all_pages(block, span)) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "no %" G_GUINT64_FORMAT
                              " pages from %" G_GUINT64_FORMAT
                              " on of %s can be in this chunk",
                              span->n_pages, span->first_page, block->name);
    }
    return true;
}

/* The next span of the chunk, told against last. */
static bool read_span(Reader *reader, const RamImage *image, uint64_t max_bytes,
                      PageSpan *last, GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    PageSpan span;
    uint64_t block;
    uint64_t folded;

    if (!reader_varint(reader, "a span's block", &block, error) ||
        !reader_varint(reader, "a span's page", &folded, error) ||
        !reader_number(reader, "a span's number of pages", 1, PACK_CHUNK_BYTES,
                       &span.n_pages, error)) {
        return false;
    }
    if (block >= image->n_blocks) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "a span's block is %" G_GUINT64_FORMAT " of %zu",
                              block, image->n_blocks);
    }
    span.block = (size_t)block;
    span.first_page =
        last->first_page + last->n_pages + encoding_unfold(folded);
    if (!check_span(&span, off_bytes, max_bytes, image, error)) {
        return false;
    }
    *last = span;
    return true;
}

static bool read_spans(Reader *reader, const RamImage *image, Pack *pack,
                       PackChunk *chunk, GError **error)
{
    PageSpan span = {0};
    uint64_t n_spans;

    if (!reader_count(reader, "a chunk's number of spans",
                      PACK_MAX_SPANS - pack->spans->len, SPAN_MIN_BYTES,
                      &n_spans, error)) {
        return false;
    }
    if (n_spans == 0) {
        return reader_fail_at(reader_off_bytes(reader), error,
                              FORMATS_ERROR_MALFORMED, "a chunk has no pages");
    }
    chunk->first_span = pack->spans->len;
    chunk->n_spans = (size_t)n_spans;
    for (uint64_t i = 0; i < n_spans; i++) {
        if (!read_span(reader, image, PACK_CHUNK_BYTES - chunk->pages_len_bytes,
                       &span, error)) {
            return false;
        }
        chunk->pages_len_bytes +=
            span.n_pages * image->blocks[span.block].page_bytes;
        g_array_append_val(pack->spans, span);
    }
    return true;
}

/* off_bytes: where it begins; end_bytes: where the last chunk ends. */
static bool read_chunk(Reader *reader, const RamImage *image, Pack *pack,
                       uint64_t off_bytes, uint64_t end_bytes, GError **error)
{
    PackChunk chunk = {.off_bytes = off_bytes};
    uint64_t len_bytes;

    if (!reader_number(
            reader, "a chunk's length", 1,
            MIN(ZSTD_compressBound(PACK_CHUNK_BYTES), end_bytes - off_bytes),
            &len_bytes, error) ||
        !reader_be32(reader, "a chunk's checksum", &chunk.checksum, error) ||
        !read_spans(reader, image, pack, &chunk, error)) {
        return false;
    }
    chunk.len_bytes = (size_t)len_bytes;
    g_array_append_val(pack->chunks, chunk);
    return true;
}

static bool read_chunks(Reader *reader, const RamImage *image, Pack *pack,
                        uint64_t table_off_bytes, GError **error)
{
    uint64_t off_bytes = PACK_HEAD_BYTES;
    uint64_t n_chunks;

    if (!reader_count(reader, "the number of chunks", PACK_MAX_SPANS,
                      CHUNK_MIN_BYTES, &n_chunks, error)) {
        return false;
    }
    for (uint64_t i = 0; i < n_chunks; i++) {
        if (!read_chunk(reader, image, pack, off_bytes, table_off_bytes,
                        error)) {
            return false;
        }
        off_bytes += pack_chunk(pack, (size_t)i)->len_bytes;
    }
    if (off_bytes != table_off_bytes || reader_left_bytes(reader) > 0) {
        return reader_fail_at(reader_off_bytes(reader), error,
                              FORMATS_ERROR_MALFORMED,
                              "the chunks or their table do not end where they "
                              "should");
    }
    return true;
}

static bool open_pack(Pack *pack, const RamImage *image, GError **error)
{
    g_auto(Table) table = {0};

    if (!read_table(pack->source, &table, error)) {
        return false;
    }
    Reader reader = reader_make(
        table.bytes, table.len_bytes - PACK_DIGEST_BYTES, table.off_bytes);
    return check_identity(&reader, image, error) &&
           read_chunks(&reader, image, pack, table.off_bytes, error);
}

Pack *pack_open(ByteSource *source, const RamImage *image, GError **error)
{
    g_autoptr(Pack) pack = g_new0(Pack, 1);

    pack->source = source;
    pack->chunks = g_array_new(FALSE, FALSE, sizeof(PackChunk));
    pack->spans = g_array_new(FALSE, FALSE, sizeof(PageSpan));
    if (!file_kind_expect(source, FILE_KIND_PACK, error)) {
        return NULL;
    }
    if (!open_pack(pack, image, error)) {
        g_prefix_error(error, "%s: ", source->name);
        return NULL;
    }
    return g_steal_pointer(&pack);
}

void pack_free(Pack *pack)
{
    if (pack) {
        byte_source_free(pack->source);
        g_array_unref(pack->chunks);
        g_array_unref(pack->spans);
        g_free(pack);
    }
}

/* ---- chunks ---- */

/* Whether data is one frame with a checksum, and that the chunk's: the frame of
 * another chunk is whole as well. */
static bool check_frame(const uint8_t *data, const PackChunk *chunk,
                        GError **error)
{
    size_t frame_bytes = ZSTD_findFrameCompressedSize(data, chunk->len_bytes);

    if (ZSTD_isError(frame_bytes) || frame_bytes != chunk->len_bytes ||
        frame_bytes <= FRAME_DESCRIPTOR_OFF + PACK_FRAME_CHECKSUM_BYTES ||
        !(data[FRAME_DESCRIPTOR_OFF] & FRAME_HAS_CHECKSUM)) {
        return reader_fail_at(chunk->off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "no zstd frame with a checksum");
    }
    uint32_t checksum;
    memcpy(&checksum, &data[frame_bytes - PACK_FRAME_CHECKSUM_BYTES],
           sizeof(checksum));
    return GUINT32_FROM_LE(checksum) == chunk->checksum ||
           reader_fail_at(chunk->off_bytes, error, FORMATS_ERROR_CHECKSUM,
                          "this is not the chunk that the table means");
}

static bool unpack(const uint8_t *data, const PackChunk *chunk, void *pages,
                   GError **error)
{
    if (!check_frame(data, chunk, error)) {
        return false;
    }
    size_t len_bytes =
        ZSTD_decompress(pages, chunk->pages_len_bytes, data, chunk->len_bytes);
    if (ZSTD_isError(len_bytes)) {
        return reader_fail_at(chunk->off_bytes, error, FORMATS_ERROR_CHECKSUM,
                              "a damaged chunk: %s",
                              ZSTD_getErrorName(len_bytes));
    }
    return len_bytes == chunk->pages_len_bytes ||
           reader_fail_at(chunk->off_bytes, error, FORMATS_ERROR_MALFORMED,
                          "a chunk of %zu bytes, not %zu", len_bytes,
                          chunk->pages_len_bytes);
}

static bool read_and_unpack(const Pack *pack, const PackChunk *chunk,
                            void *pages, GError **error)
{
    g_autofree uint8_t *data = g_try_malloc(chunk->len_bytes);

    if (!data) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "no memory for a chunk of %zu bytes", chunk->len_bytes);
        return false;
    }
    return byte_source_read_at(pack->source, data, chunk->len_bytes,
                               chunk->off_bytes, error) &&
           unpack(data, chunk, pages, error);
}

bool pack_read_chunk(const Pack *pack, size_t i, void *pages, GError **error)
{
    if (!read_and_unpack(pack, pack_chunk(pack, i), pages, error)) {
        g_prefix_error(error, "%s: ", pack->source->name);
        return false;
    }
    return byte_source_check_unchanged(pack->source, error);
}
