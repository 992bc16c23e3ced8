/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The binary form, as docs/page-order-format.md specifies it:
 *
 *   magic (8)  version (be32)  length of the file (be64)
 *   body: varints and names
 *   SHA-256 of all before it (32)
 *
 * Every order has exactly one encoding; the decoder refuses any other.
 */
#include "formats/page-order.h"

#include <string.h>

#include "formats/encoding.h"
#include "formats/error.h"
#include "formats/reader.h"

/* Like PNG's: shows a file that was cut to 7 bits or had its line ends
 * changed for what it is. */
static const uint8_t magic[8] = {0x89, 'P', 'H', 'O', '\r', '\n', 0x1a, '\n'};

#define VERSION_OFF_BYTES 8
#define LENGTH_OFF_BYTES  12
#define DIGEST_BYTES      ENCODING_DIGEST_BYTES

#define BLOCK_MIN_BYTES  4 /* name 1 + 1, page size 1, page count 1 */
#define EXTENT_MIN_BYTES 3 /* head, page, time */

/* An extent's first byte: access, and which fields follow. */
#define HEAD_ACCESS_MASK 0x03
#define HEAD_HAS_BLOCK   0x04 /* else that of the extent before */
#define HEAD_HAS_COUNT   0x08 /* else 1 */
#define HEAD_HAS_IDLE    0x10 /* else 0 */
#define HEAD_UNUSED      0xe0

/* What an extent's fields are told against; the same on both sides. */
typedef struct Context {
    uint64_t *ends; /* one for each block: where its last extent ended */
    uint64_t time_us;
    uint32_t block;
} Context;

static void put_identity(GString *out, const char *identity)
{
    g_string_append_c(out, identity != NULL);
    if (identity) {
        encoding_put_hex(out, identity);
    }
}

static void put_block(GString *out, const PageOrderBlock *block)
{
    const size_t name_bytes = strlen(block->name);

    g_string_append_c(out, (char)name_bytes);
    g_string_append_len(out, block->name, (gssize)name_bytes);
    g_string_append_c(out, (char)__builtin_ctzll(block->page_bytes));
    encoding_put_varint(out, block->len_bytes / block->page_bytes);
}

static uint8_t extent_head(const Context *context, const PageExtent *extent)
{
    uint8_t head = (uint8_t)extent->access;

    head |= extent->span.block != context->block ? HEAD_HAS_BLOCK : 0;
    head |= extent->span.n_pages != 1 ? HEAD_HAS_COUNT : 0;
    head |= extent->idle_loads != 0 ? HEAD_HAS_IDLE : 0;
    return head;
}

/* Make extent the one that the next is told against. */
static void advance(Context *context, const PageExtent *extent)
{
    context->ends[extent->span.block] = page_span_end(&extent->span);
    context->time_us = extent->time_us;
    context->block = (uint32_t)extent->span.block;
}

static void put_extent(GString *out, Context *context, const PageExtent *extent)
{
    const uint8_t head = extent_head(context, extent);

    g_string_append_c(out, (char)head);
    if (head & HEAD_HAS_BLOCK) {
        encoding_put_varint(out, extent->span.block);
    }
    encoding_put_varint(out, encoding_fold(extent->span.first_page -
                                           context->ends[extent->span.block]));
    if (head & HEAD_HAS_COUNT) {
        encoding_put_varint(out, extent->span.n_pages);
    }
    encoding_put_varint(out, encoding_fold(extent->time_us - context->time_us));
    if (head & HEAD_HAS_IDLE) {
        encoding_put_varint(out, extent->idle_loads);
    }
    advance(context, extent);
}

static void put_extents(GString *out, const PageOrder *order)
{
    g_autofree uint64_t *ends = g_new0(uint64_t, order->blocks->len + 1);
    Context context = {.ends = ends};

    encoding_put_varint(out, order->extents->len);
    for (size_t i = 0; i < order->extents->len; i++) {
        put_extent(out, &context, page_order_extent(order, i));
    }
}

static void put_body(GString *out, const PageOrder *order)
{
    put_identity(out, order->identity);
    g_string_append_c(out, (char)order->origin);
    encoding_put_varint(out, order->n_runs);
    encoding_put_varint(out, order->blocks->len);
    for (size_t i = 0; i < order->blocks->len; i++) {
        put_block(out, page_order_block(order, i));
    }
    put_extents(out, order);
}

GBytes *page_order_encode(const PageOrder *order)
{
    GString *out = g_string_new(NULL);
    uint8_t hash[DIGEST_BYTES];

    g_string_append_len(out, (const char *)magic, sizeof(magic));
    encoding_put_be(out, PAGE_ORDER_VERSION, 4);
    encoding_put_be(out, 0, 8);
    put_body(out, order);

    const uint64_t file_len = GUINT64_TO_BE(out->len + DIGEST_BYTES);
    memcpy(&out->str[LENGTH_OFF_BYTES], &file_len, sizeof(file_len));
    encoding_digest(out->str, out->len, NULL, 0, hash);
    g_string_append_len(out, (const char *)hash, DIGEST_BYTES);
    return g_string_free_to_bytes(out);
}

static bool check_magic(Reader *reader, GError **error)
{
    const size_t len_bytes = MIN(reader_left_bytes(reader), sizeof(magic));
    const uint8_t *bytes;

    if (len_bytes > 0 && memcmp(reader->data, magic, len_bytes) != 0) {
        return reader_fail_at(0, error, FORMATS_ERROR_NOT_THIS,
                              "not a page order in its binary form; if it is "
                              "JSON, import it");
    }
    return reader_bytes(reader, "the magic number", sizeof(magic), &bytes,
                        error);
}

/* Magic, version and length; moves on to the body. */
static bool check_envelope(Reader *reader, GError **error)
{
    uint32_t version;
    uint64_t len_bytes;

    if (!check_magic(reader, error) ||
        !reader_be32(reader, "the format's version", &version, error)) {
        return false;
    }
    if (version != PAGE_ORDER_VERSION) {
        return reader_fail_at(VERSION_OFF_BYTES, error, FORMATS_ERROR_VERSION,
                              "format version %u, only version %d is known",
                              version, PAGE_ORDER_VERSION);
    }
    if (!reader_be64(reader, "the file's length", &len_bytes, error)) {
        return false;
    }
    if (len_bytes != reader->len_bytes) {
        return reader_fail_at(
            LENGTH_OFF_BYTES, error,
            len_bytes > reader->len_bytes ? FORMATS_ERROR_TRUNCATED
                                          : FORMATS_ERROR_MALFORMED,
            "should be %" G_GUINT64_FORMAT " bytes long, is %zu", len_bytes,
            reader->len_bytes);
    }
    return true;
}

/* Leaves the body alone in the reader. */
static bool check_digest(Reader *reader, GError **error)
{
    uint8_t hash[DIGEST_BYTES];

    if (reader_left_bytes(reader) < DIGEST_BYTES) {
        return reader_fail_at(reader_off_bytes(reader), error,
                              FORMATS_ERROR_MALFORMED,
                              "too short for its checksum");
    }
    reader->len_bytes -= DIGEST_BYTES;
    encoding_digest(reader->data, reader->len_bytes, NULL, 0, hash);
    if (memcmp(&reader->data[reader->len_bytes], hash, DIGEST_BYTES) != 0) {
        return reader_fail_at(
            reader->len_bytes, error, FORMATS_ERROR_CHECKSUM,
            "the checksum does not match: the file is damaged");
    }
    return true;
}

static bool read_identity(Reader *reader, PageOrder *order, GError **error)
{
    const uint8_t *bytes;
    uint64_t has_identity;

    if (!reader_number(reader, "whether there is an identity", 0, 1,
                       &has_identity, error)) {
        return false;
    }
    if (!has_identity) {
        return true;
    }
    if (!reader_bytes(reader, "the identity", PAGE_ORDER_IDENTITY_DIGITS / 2,
                      &bytes, error)) {
        return false;
    }
    order->identity = encoding_to_hex(bytes, PAGE_ORDER_IDENTITY_DIGITS / 2);
    return true;
}

static bool read_provenance(Reader *reader, PageOrder *order, GError **error)
{
    uint64_t origin;
    uint64_t n_runs;

    if (!read_identity(reader, order, error) ||
        !reader_number(reader, "the origin", 0, PAGE_ORDER_ORIGIN_LEARNED,
                       &origin, error) ||
        !reader_number(reader, "the number of runs", 1, UINT32_MAX, &n_runs,
                       error)) {
        return false;
    }
    order->origin = (PageOrderOrigin)origin;
    order->n_runs = (uint32_t)n_runs;
    return true;
}

static bool read_block(Reader *reader, PageOrder *order, GError **error)
{
    g_autofree char *name = NULL;
    uint64_t page_bits;
    uint64_t n_pages;

    if (!reader_counted_name(reader, "a block's name", &name, error) ||
        !reader_number(reader, "a block's page size", 9, 62, &page_bits,
                       error) ||
        !reader_number(reader, "a block's number of pages", 1,
                       INT64_MAX >> page_bits, &n_pages, error)) {
        return false;
    }
    page_order_add_block(order, name, n_pages << page_bits,
                         UINT64_C(1) << page_bits);
    return true;
}

static bool read_blocks(Reader *reader, PageOrder *order, GError **error)
{
    uint64_t n_blocks;

    if (!reader_count(reader, "the number of blocks", PAGE_ORDER_MAX_BLOCKS,
                      BLOCK_MIN_BYTES, &n_blocks, error)) {
        return false;
    }
    for (uint64_t i = 0; i < n_blocks; i++) {
        if (!read_block(reader, order, error)) {
            return false;
        }
    }
    return true;
}

static bool read_head(Reader *reader, uint8_t *ret_head, GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    uint8_t head;

    if (!reader_u8(reader, "an extent", &head, error)) {
        return false;
    }
    if (head & HEAD_UNUSED || !page_access_name(head & HEAD_ACCESS_MASK)) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "an extent begins with 0x%02x, which means "
                              "nothing",
                              head);
    }
    *ret_head = head;
    return true;
}

static bool read_extent_block(Reader *reader, const Context *context,
                              uint32_t n_blocks, uint8_t head,
                              size_t *ret_block, GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    uint64_t block = context->block;

    if (head & HEAD_HAS_BLOCK &&
        !reader_varint(reader, "an extent's block", &block, error)) {
        return false;
    }
    if (block >= n_blocks ||
        (head & HEAD_HAS_BLOCK && block == context->block)) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "an extent's block is %" G_GUINT64_FORMAT
                              " of %u, after one of %u",
                              block, n_blocks, context->block);
    }
    *ret_block = (size_t)block;
    return true;
}

static bool read_extent(Reader *reader, const Context *context,
                        uint32_t n_blocks, PageExtent *ret_extent,
                        GError **error)
{
    PageExtent extent = {.span.n_pages = 1};
    uint64_t page_folded;
    uint64_t time_folded;
    uint64_t idle_loads = 0;
    uint8_t head;

    if (!read_head(reader, &head, error) ||
        !read_extent_block(reader, context, n_blocks, head, &extent.span.block,
                           error) ||
        !reader_varint(reader, "an extent's page", &page_folded, error) ||
        (head & HEAD_HAS_COUNT &&
         !reader_number(reader, "an extent's number of pages", 2, INT64_MAX,
                        &extent.span.n_pages, error)) ||
        !reader_varint(reader, "an extent's time", &time_folded, error) ||
        (head & HEAD_HAS_IDLE &&
         !reader_number(reader, "an extent's idle loads", 1, UINT32_MAX,
                        &idle_loads, error))) {
        return false;
    }
    extent.span.first_page =
        context->ends[extent.span.block] + encoding_unfold(page_folded);
    extent.time_us = context->time_us + encoding_unfold(time_folded);
    extent.idle_loads = (uint32_t)idle_loads;
    extent.access = (PageAccess)(head & HEAD_ACCESS_MASK);
    *ret_extent = extent;
    return true;
}

/* GArray aborts where it gets no memory: see first whether there is any. */
static bool reserve_extents(PageOrder *order, uint64_t n_extents,
                            GError **error)
{
    g_autofree PageExtent *probe = g_try_new(PageExtent, n_extents);

    if (!probe && n_extents > 0) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "no memory for %" G_GUINT64_FORMAT " extents", n_extents);
        return false;
    }
    g_clear_pointer(&probe, g_free);
    g_array_set_size(order->extents, (guint)n_extents);
    return true;
}

static bool read_n_extents(Reader *reader, uint64_t *ret_n_extents,
                           GError **error)
{
    return reader_count(reader, "the number of extents", PAGE_ORDER_MAX_EXTENTS,
                        EXTENT_MIN_BYTES, ret_n_extents, error);
}

static bool read_extents(Reader *reader, PageOrder *order, GError **error)
{
    const uint32_t n_blocks = order->blocks->len;
    g_autofree uint64_t *ends = g_new0(uint64_t, n_blocks + 1);
    Context context = {.ends = ends};
    uint64_t n_extents;

    if (!read_n_extents(reader, &n_extents, error) ||
        !reserve_extents(order, n_extents, error)) {
        return false;
    }
    for (uint64_t i = 0; i < n_extents; i++) {
        PageExtent *extent = &g_array_index(order->extents, PageExtent, i);
        if (!read_extent(reader, &context, n_blocks, extent, error)) {
            return false;
        }
        advance(&context, extent);
    }
    return true;
}

static bool read_body(Reader *reader, PageOrder *order, GError **error)
{
    if (!read_provenance(reader, order, error) ||
        !read_blocks(reader, order, error) ||
        !read_extents(reader, order, error)) {
        return false;
    }
    if (reader_left_bytes(reader) > 0) {
        return reader_fail_at(reader_off_bytes(reader), error,
                              FORMATS_ERROR_MALFORMED,
                              "%zu bytes too many before the checksum",
                              reader_left_bytes(reader));
    }
    return page_order_check(order, error);
}

bool page_order_peek_extents(const void *data, size_t len_bytes,
                             uint64_t *ret_n_extents)
{
    g_autoptr(PageOrder) order = page_order_new();
    Reader reader = reader_make(data, len_bytes, 0);

    return check_envelope(&reader, NULL) &&
           read_provenance(&reader, order, NULL) &&
           read_blocks(&reader, order, NULL) &&
           read_n_extents(&reader, ret_n_extents, NULL);
}

PageOrder *page_order_decode(const void *data, size_t len_bytes, GError **error)
{
    g_autoptr(PageOrder) order = page_order_new();
    Reader reader = reader_make(data, len_bytes, 0);

    if (!check_envelope(&reader, error) || !check_digest(&reader, error) ||
        !read_body(&reader, order, error)) {
        return NULL;
    }
    return g_steal_pointer(&order);
}
