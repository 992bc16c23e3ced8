/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The file is walked once, header by header.  Of what lies between two
 * headers only the bitmaps are read, never a page.
 */
#include "formats/ram-image.h"

#include <string.h>

#include "formats/error.h"
#include "formats/ram-image-headers.h"

#define MAX_BLOCKS             4096
#define MAX_BITMAP_BYTES       (UINT64_C(1) << 30) /* of all blocks: 32 TiB */
#define MAX_DEVICE_STATE_BYTES (UINT64_C(256) << 20)
#define RAM_FLAG_EOS           UINT64_C(0x10)
#define CHUNK_BYTES            (256 * 1024)

/* Where in the file we are, and what has been met so far. */
typedef struct Walk {
    RamImage *image;    /* borrowed */
    GArray *blocks;     /* of RamImageBlock */
    GHashTable *names;  /* of the blocks, borrowed from them */
    uint64_t off_bytes; /* of the next header */
    uint64_t ram_left_bytes;
    uint64_t bitmaps_bytes;
} Walk;

static void clear_block(RamImageBlock *block)
{
    g_free(block->name);
    g_free(block->bitmap);
}

/* Read what the file has at off_bytes, at most max_bytes, into buffer. */
static bool read_window(const RamImage *image, uint64_t off_bytes,
                        size_t max_bytes, void *buffer, Reader *ret_reader,
                        GError **error)
{
    uint64_t left_bytes = off_bytes < image->file_len_bytes
                              ? image->file_len_bytes - off_bytes
                              : 0;
    size_t len_bytes = (size_t)MIN(left_bytes, max_bytes);

    if (!byte_source_read_at(image->source, buffer, len_bytes, off_bytes,
                             error)) {
        return false;
    }
    *ret_reader = reader_make(buffer, len_bytes, off_bytes);
    return true;
}

static bool read_head(Walk *walk, GError **error)
{
    RamImage *image = walk->image;
    g_autofree void *buffer = g_malloc(RAM_IMAGE_HEAD_MAX_BYTES);
    Reader reader;

    if (!read_window(image, image->image_off_bytes, RAM_IMAGE_HEAD_MAX_BYTES,
                     buffer, &reader, error) ||
        !ram_image_read_head(&reader, &image->machine, &walk->ram_left_bytes,
                             error)) {
        return false;
    }
    walk->off_bytes = reader_off_bytes(&reader);
    return true;
}

/* Count the bits, refuse one beyond the last page. */
static bool count_pages(RamImageBlock *block, GError **error)
{
    const size_t n_words = block->bitmap_len_bytes / 8;
    const unsigned n_tail_bits = block->n_pages % 64;

    for (size_t i = 0; i < n_words; i++) {
        block->bitmap[i] = GUINT64_FROM_LE(block->bitmap[i]);
        block->n_pages_in_file +=
            (uint64_t)__builtin_popcountll(block->bitmap[i]);
    }
    if (n_tail_bits != 0 && block->bitmap[n_words - 1] >> n_tail_bits != 0) {
        return reader_fail_at(
            block->bitmap_off_bytes + block->bitmap_len_bytes - 8, error,
            FORMATS_ERROR_MALFORMED,
            "block \"%s\": its bitmap has bits beyond its last page",
            block->name);
    }
    return true;
}

static bool read_bitmap(Walk *walk, RamImageBlock *block, GError **error)
{
    walk->bitmaps_bytes += block->bitmap_len_bytes;
    if (walk->bitmaps_bytes > MAX_BITMAP_BYTES) {
        return reader_fail_at(walk->off_bytes, error, FORMATS_ERROR_TOO_LARGE,
                              "block \"%s\": more than %" G_GUINT64_FORMAT
                              " bytes of bitmaps",
                              block->name, MAX_BITMAP_BYTES);
    }
    block->bitmap = g_try_malloc(block->bitmap_len_bytes);
    if (!block->bitmap) {
        return reader_fail_at(
            walk->off_bytes, error, FORMATS_ERROR_TOO_LARGE,
            "block \"%s\": no memory for its bitmap of %" G_GUINT64_FORMAT
            " bytes",
            block->name, block->bitmap_len_bytes);
    }
    return byte_source_read_at(walk->image->source, block->bitmap,
                               block->bitmap_len_bytes, block->bitmap_off_bytes,
                               error) &&
           count_pages(block, error);
}

/* The block against those before it. */
static bool check_block(const Walk *walk, const RamImageBlock *block,
                        GError **error)
{
    if (g_hash_table_contains(walk->names, block->name)) {
        return reader_fail_at(walk->off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "block \"%s\" is there twice", block->name);
    }
    if (block->len_bytes > walk->ram_left_bytes) {
        return reader_fail_at(
            walk->off_bytes, error, FORMATS_ERROR_MALFORMED,
            "block \"%s\": length %" G_GUINT64_FORMAT
            ", but only %" G_GUINT64_FORMAT " bytes of RAM are left for it",
            block->name, block->len_bytes, walk->ram_left_bytes);
    }
    if (walk->blocks->len == MAX_BLOCKS) {
        return reader_fail_at(walk->off_bytes, error, FORMATS_ERROR_TOO_LARGE,
                              "more than %d RAM blocks", MAX_BLOCKS);
    }
    return true;
}

static bool read_block(Walk *walk, GError **error)
{
    const RamImage *image = walk->image;
    uint8_t buffer[RAM_IMAGE_BLOCK_HEADER_MAX_BYTES];
    RamImageBlock block;
    Reader reader;

    if (!read_window(image, walk->off_bytes, sizeof(buffer), buffer, &reader,
                     error) ||
        !ram_image_read_block_header(&reader, image->file_len_bytes, &block,
                                     error)) {
        return false;
    }
    if (!check_block(walk, &block, error) ||
        !read_bitmap(walk, &block, error)) {
        clear_block(&block);
        return false;
    }
    g_array_append_val(walk->blocks, block);
    g_hash_table_add(walk->names, block.name);
    walk->off_bytes = block.pages_off_bytes + block.len_bytes;
    walk->ram_left_bytes -= block.len_bytes;
    return true;
}

/* The end mark of the RAM section's first part, and something after it. */
static bool read_end(Walk *walk, GError **error)
{
    RamImage *image = walk->image;
    uint8_t buffer[8];
    Reader reader;
    uint64_t flags;

    if (!read_window(image, walk->off_bytes, sizeof(buffer), buffer, &reader,
                     error) ||
        !reader_be64(&reader, "the end of RAM", &flags, error)) {
        return false;
    }
    if (flags != RAM_FLAG_EOS) {
        return reader_fail_at(
            walk->off_bytes, error, FORMATS_ERROR_MALFORMED,
            "0x%" G_GINT64_MODIFIER "x where RAM should end (0x10)", flags);
    }
    const uint64_t off_bytes = reader_off_bytes(&reader);
    const uint64_t len_bytes = image->file_len_bytes - off_bytes;
    if (len_bytes == 0) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_TRUNCATED,
                              "ends before the device state");
    }
    if (len_bytes > MAX_DEVICE_STATE_BYTES) {
        return reader_fail_at(
            off_bytes, error, FORMATS_ERROR_TOO_LARGE,
            "%" G_GUINT64_FORMAT
            " bytes of device state, at most %" G_GUINT64_FORMAT
            " are accepted",
            len_bytes, MAX_DEVICE_STATE_BYTES);
    }
    image->device_state_off_bytes = off_bytes;
    return true;
}

static bool read_blocks(Walk *walk, GError **error)
{
    while (walk->ram_left_bytes > 0) {
        if (!read_block(walk, error)) {
            return false;
        }
    }
    return read_end(walk, error);
}

static bool read_headers(RamImage *image, GError **error)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GArray) blocks = g_array_new(FALSE, FALSE, sizeof(RamImageBlock));
    Walk walk = {.image = image, .blocks = blocks, .names = names};

    bool ok = read_head(&walk, error) && read_blocks(&walk, error);
    image->n_blocks = blocks->len;
    image->blocks =
        (RamImageBlock *)g_array_free(g_steal_pointer(&blocks), FALSE);
    return ok;
}

static void hash_be64(GChecksum *hash, uint64_t value)
{
    const uint64_t bytes = GUINT64_TO_BE(value);

    g_checksum_update(hash, (const guchar *)&bytes, sizeof(bytes));
}

static void hash_string(GChecksum *hash, const char *string)
{
    const size_t len_bytes = strlen(string);

    hash_be64(hash, len_bytes);
    g_checksum_update(hash, (const guchar *)string, (gssize)len_bytes);
}

static void hash_block(GChecksum *hash, const RamImageBlock *block)
{
    hash_string(hash, block->name);
    hash_be64(hash, block->len_bytes);
    hash_be64(hash, block->page_bytes);
    for (size_t i = 0; i < block->bitmap_len_bytes / 8; i++) {
        const uint64_t word = GUINT64_TO_LE(block->bitmap[i]);
        g_checksum_update(hash, (const guchar *)&word, sizeof(word));
    }
}

static bool hash_device_state(GChecksum *hash, const RamImage *image,
                              GError **error)
{
    g_autofree guchar *buffer = g_malloc(CHUNK_BYTES);
    uint64_t off_bytes = image->device_state_off_bytes;

    while (off_bytes < image->file_len_bytes) {
        size_t len_bytes =
            (size_t)MIN(image->file_len_bytes - off_bytes, CHUNK_BYTES);
        if (!byte_source_read_at(image->source, buffer, len_bytes, off_bytes,
                                 error)) {
            return false;
        }
        g_checksum_update(hash, buffer, (gssize)len_bytes);
        off_bytes += len_bytes;
    }
    return true;
}

static bool compute_identity(RamImage *image, GError **error)
{
    g_autoptr(GChecksum) hash = g_checksum_new(G_CHECKSUM_SHA256);

    hash_string(hash, image->machine);
    hash_be64(hash, image->n_blocks);
    for (size_t i = 0; i < image->n_blocks; i++) {
        hash_block(hash, &image->blocks[i]);
    }
    if (!hash_device_state(hash, image, error)) {
        return false;
    }
    image->identity = g_strdup(g_checksum_get_string(hash));
    return true;
}

RamImage *ram_image_open_source(ByteSource *source, uint64_t image_off_bytes,
                                GError **error)
{
    g_autoptr(RamImage) image = g_new0(RamImage, 1);

    image->source = source;
    image->path = g_strdup(source->name);
    image->fd = source->fd;
    image->file_len_bytes = source->len_bytes;
    image->image_off_bytes = image_off_bytes;
    if (!read_headers(image, error) || !compute_identity(image, error)) {
        g_prefix_error(error, "%s: ", image->path);
        return NULL;
    }
    return g_steal_pointer(&image);
}

RamImage *ram_image_open(const char *path, uint64_t image_off_bytes,
                         GError **error)
{
    ByteSource *source = byte_source_open(path, error);

    return source ? ram_image_open_source(source, image_off_bytes, error)
                  : NULL;
}

RamImage *ram_image_open_fd(int fd, const char *name, uint64_t image_off_bytes,
                            GError **error)
{
    ByteSource *source = byte_source_new_fd(fd, name, error);

    return source ? ram_image_open_source(source, image_off_bytes, error)
                  : NULL;
}

bool ram_image_check_unchanged(const RamImage *image, GError **error)
{
    return byte_source_check_unchanged(image->source, error);
}

void ram_image_free(RamImage *image)
{
    if (!image) {
        return;
    }
    for (size_t i = 0; i < image->n_blocks; i++) {
        clear_block(&image->blocks[i]);
    }
    byte_source_free(image->source);
    g_free(image->blocks);
    g_free(image->path);
    g_free(image->machine);
    g_free(image->identity);
    g_free(image);
}

const RamImageBlock *ram_image_find_block(const RamImage *image,
                                          const char *name)
{
    for (size_t i = 0; i < image->n_blocks; i++) {
        if (strcmp(image->blocks[i].name, name) == 0) {
            return &image->blocks[i];
        }
    }
    return NULL;
}
