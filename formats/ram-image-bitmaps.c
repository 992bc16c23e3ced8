/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is read after the headers: the bitmaps, and for the identity the
 * device state.  Never a page.
 */
#include "formats/ram-image.h"

#include <string.h>

#include "formats/error.h"
#include "formats/reader.h"
#include "util/units.h"

/* Of all bitmaps together.  A file may take so little on disk that less than
 * MIN_BITMAPS_BYTES would do, and still be honest: it is compressed, or its
 * file system does not say. */
#define MIN_BITMAPS_BYTES (UINT64_C(64) << 20) /* 2 TiB of 4 KiB pages */
#define MAX_BITMAPS_BYTES (UINT64_C(1) << 30)  /* 32 TiB */

#define CHUNK_BYTES (256 * 1024)
#define CHUNK_WORDS 512

static bool check_bitmaps(const RamImage *image, GError **error)
{
    const uint64_t max_bytes = CLAMP(image->source->stored_bytes,
                                     MIN_BITMAPS_BYTES, MAX_BITMAPS_BYTES);
    uint64_t total_bytes = 0;

    /* The sum fits: each byte stands for at least 8 pages, but for some bytes
     * at the end of each of RAM_IMAGE_MAX_BLOCKS blocks. */
    for (size_t i = 0; i < image->n_blocks; i++) {
        total_bytes += image->blocks[i].bitmap_len_bytes;
    }
    if (total_bytes <= max_bytes) {
        return true;
    }
    g_autofree char *ram = units_format_size(image->ram_bytes);
    g_autofree char *stored = units_format_size(image->source->stored_bytes);
    g_autofree char *bitmaps = units_format_size(total_bytes);
    g_autofree char *most = units_format_size(max_bytes);
    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                "claims %s of RAM, in a file that takes %s on disk: its "
                "bitmaps would take %s of memory, at most %s are accepted",
                ram, stored, bitmaps, most);
    return false;
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

static bool read_bitmap(const ByteSource *source, RamImageBlock *block,
                        GError **error)
{
    block->bitmap = g_try_malloc(block->bitmap_len_bytes);
    if (!block->bitmap) {
        return reader_fail_at(
            block->bitmap_off_bytes, error, FORMATS_ERROR_TOO_LARGE,
            "block \"%s\": no memory for its bitmap of %" G_GUINT64_FORMAT
            " bytes",
            block->name, block->bitmap_len_bytes);
    }
    return byte_source_read_at(source, block->bitmap, block->bitmap_len_bytes,
                               block->bitmap_off_bytes, error) &&
           count_pages(block, error);
}

static bool read_all_bitmaps(RamImage *image, GError **error)
{
    for (size_t i = 0; i < image->n_blocks; i++) {
        if (!read_bitmap(image->source, &image->blocks[i], error)) {
            return false;
        }
    }
    return true;
}

/* ---- where the device state ends ---- */

static size_t without_zeroes(const uint8_t *bytes, size_t len_bytes)
{
    while (len_bytes > 0 && bytes[len_bytes - 1] == 0) {
        len_bytes--;
    }
    return len_bytes;
}

/* From behind: of a file that ends with its device state, a chunk is read. */
static bool find_device_state_end(RamImage *image, GError **error)
{
    g_autofree uint8_t *buffer = g_malloc(CHUNK_BYTES);
    const uint64_t start_bytes = image->device_state_off_bytes;
    uint64_t end_bytes = MIN(image->file_len_bytes,
                             start_bytes + RAM_IMAGE_MAX_DEVICE_STATE_BYTES);
    size_t kept_bytes = 0;

    while (end_bytes > start_bytes && kept_bytes == 0) {
        size_t len_bytes = (size_t)MIN(end_bytes - start_bytes, CHUNK_BYTES);
        end_bytes -= len_bytes;
        if (!byte_source_read_at(image->source, buffer, len_bytes, end_bytes,
                                 error)) {
            return false;
        }
        kept_bytes = without_zeroes(buffer, len_bytes);
    }
    image->device_state_len_bytes = end_bytes + kept_bytes - start_bytes;
    return true;
}

/* ---- the identity ---- */

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

/* As it stands in the file. */
static void hash_bitmap(GChecksum *hash, const RamImageBlock *block)
{
    const size_t n_words = block->bitmap_len_bytes / 8;
    uint64_t chunk[CHUNK_WORDS];

    for (size_t i = 0; i < n_words; i += CHUNK_WORDS) {
        const size_t n = MIN(n_words - i, CHUNK_WORDS);

        for (size_t j = 0; j < n; j++) {
            chunk[j] = GUINT64_TO_LE(block->bitmap[i + j]);
        }
        g_checksum_update(hash, (const guchar *)chunk,
                          (gssize)(n * sizeof(chunk[0])));
    }
}

static bool hash_device_state(GChecksum *hash, const RamImage *image,
                              GError **error)
{
    g_autofree guchar *buffer = g_malloc(CHUNK_BYTES);
    uint64_t off_bytes = image->device_state_off_bytes;
    const uint64_t end_bytes = off_bytes + image->device_state_len_bytes;

    while (off_bytes < end_bytes) {
        size_t len_bytes = (size_t)MIN(end_bytes - off_bytes, CHUNK_BYTES);
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
        const RamImageBlock *block = &image->blocks[i];

        hash_string(hash, block->name);
        hash_be64(hash, block->len_bytes);
        hash_be64(hash, block->page_bytes);
        hash_bitmap(hash, block);
    }
    if (!hash_device_state(hash, image, error)) {
        return false;
    }
    image->identity = g_strdup(g_checksum_get_string(hash));
    return true;
}

bool ram_image_read_bitmaps(RamImage *image, GError **error)
{
    if (!check_bitmaps(image, error) || !read_all_bitmaps(image, error) ||
        !find_device_state_end(image, error) ||
        !compute_identity(image, error)) {
        g_prefix_error(error, "%s: ", image->path);
        return false;
    }
    return true;
}
