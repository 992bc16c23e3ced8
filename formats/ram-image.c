/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The file is walked once, header by header.  Nothing is read of what lies
 * between two headers.
 */
#include "formats/ram-image.h"

#include <string.h>

#include "formats/error.h"
#include "formats/file-kind.h"
#include "formats/libvirt-image.h"
#include "formats/ram-image-headers.h"
#include "formats/ram-image-sections.h"
#include "util/units.h"

#define RAM_FLAG_EOS UINT64_C(0x10)

/* Where in the file we are, and what has been met so far. */
typedef struct Walk {
    RamImage *image;    /* borrowed */
    GArray *blocks;     /* of RamImageBlock */
    GHashTable *names;  /* of the blocks, borrowed from them */
    uint64_t off_bytes; /* of the next header */
    uint64_t ram_left_bytes;
} Walk;

static void clear_block(RamImageBlock *block)
{
    g_free(block->name);
    g_free(block->bitmap);
}

static bool read_machine(Walk *walk, GError **error)
{
    RamImage *image = walk->image;
    g_autofree void *buffer = g_malloc(RAM_IMAGE_CONFIGURATION_MAX_BYTES);
    size_t len_bytes;

    if (!byte_source_read_some(image->source, buffer,
                               RAM_IMAGE_CONFIGURATION_MAX_BYTES,
                               image->image_off_bytes, &len_bytes, error)) {
        return false;
    }
    Reader reader = reader_make(buffer, len_bytes, image->image_off_bytes);
    if (!ram_image_read_configuration(&reader, &image->machine, error)) {
        return false;
    }
    walk->off_bytes = reader_off_bytes(&reader);
    return true;
}

static bool read_ram_start(Walk *walk, GError **error)
{
    RamImage *image = walk->image;
    uint8_t buffer[RAM_IMAGE_RAM_START_BYTES];
    uint64_t off_bytes;
    size_t len_bytes;

    if (!ram_image_find_ram(image->source, walk->off_bytes, &off_bytes,
                            error) ||
        !byte_source_read_some(image->source, buffer, sizeof(buffer), off_bytes,
                               &len_bytes, error)) {
        return false;
    }
    Reader reader = reader_make(buffer, len_bytes, off_bytes);
    if (!ram_image_read_ram_start(&reader, &image->ram_bytes, error)) {
        return false;
    }
    walk->ram_left_bytes = image->ram_bytes;
    walk->off_bytes = reader_off_bytes(&reader);
    return true;
}

/* The block against those before it. */
static bool check_block(const Walk *walk, const RamImageBlock *block,
                        GError **error)
{
    if (g_hash_table_contains(walk->names, block->name)) {
        return reader_fail_at(walk->off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "block \"%s\" occurs twice", block->name);
    }
    if (block->len_bytes > walk->ram_left_bytes) {
        return reader_fail_at(
            walk->off_bytes, error, FORMATS_ERROR_MALFORMED,
            "block \"%s\": length %" G_GUINT64_FORMAT
            ", but only %" G_GUINT64_FORMAT " bytes of RAM are left for it",
            block->name, block->len_bytes, walk->ram_left_bytes);
    }
    if (walk->blocks->len == RAM_IMAGE_MAX_BLOCKS) {
        return reader_fail_at(walk->off_bytes, error, FORMATS_ERROR_TOO_LARGE,
                              "more than %d RAM blocks", RAM_IMAGE_MAX_BLOCKS);
    }
    return true;
}

static bool read_block(Walk *walk, GError **error)
{
    const RamImage *image = walk->image;
    uint8_t buffer[RAM_IMAGE_BLOCK_HEADER_MAX_BYTES];
    RamImageBlock block;
    size_t len_bytes;

    if (!byte_source_read_some(image->source, buffer, sizeof(buffer),
                               walk->off_bytes, &len_bytes, error)) {
        return false;
    }
    Reader reader = reader_make(buffer, len_bytes, walk->off_bytes);
    if (!ram_image_read_block_header(&reader, image->file_len_bytes, &block,
                                     error)) {
        return false;
    }
    if (!check_block(walk, &block, error)) {
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
    size_t len_bytes;
    uint64_t flags;

    if (!byte_source_read_some(image->source, buffer, sizeof(buffer),
                               walk->off_bytes, &len_bytes, error)) {
        return false;
    }
    Reader reader = reader_make(buffer, len_bytes, walk->off_bytes);
    if (!reader_be64(&reader, "the end of RAM", &flags, error)) {
        return false;
    }
    if (flags != RAM_FLAG_EOS) {
        return reader_fail_at(
            walk->off_bytes, error, FORMATS_ERROR_MALFORMED,
            "0x%" G_GINT64_MODIFIER "x where RAM should end (0x10)", flags);
    }
    image->device_state_off_bytes = reader_off_bytes(&reader);
    if (image->device_state_off_bytes == image->file_len_bytes) {
        return reader_fail_at(image->file_len_bytes, error,
                              FORMATS_ERROR_TRUNCATED,
                              "ends before the device state");
    }
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

    bool ok = read_machine(&walk, error) && read_ram_start(&walk, error) &&
              read_blocks(&walk, error);
    image->n_blocks = blocks->len;
    image->blocks =
        (RamImageBlock *)g_array_free(g_steal_pointer(&blocks), FALSE);
    return ok;
}

/* Nobody has said where: it begins with the file, or behind libvirt's header.
 */
static bool find_image(const ByteSource *source, uint64_t *ret_off_bytes,
                       GError **error)
{
    if (!file_kind_expect(source, FILE_KIND_SNAPSHOT, error)) {
        return false;
    }
    return !libvirt_image_is_one(source) ||
           libvirt_image_find(source, ret_off_bytes, error);
}

RamImage *ram_image_open_headers(ByteSource *source, uint64_t image_off_bytes,
                                 GError **error)
{
    g_autoptr(RamImage) image = g_new0(RamImage, 1);

    image->source = source;
    image->path = g_strdup(source->name);
    image->fd = source->fd;
    image->file_len_bytes = source->len_bytes;
    image->image_off_bytes = image_off_bytes;
    if (image_off_bytes == 0 &&
        !find_image(source, &image->image_off_bytes, error)) {
        return NULL;
    }
    if (!read_headers(image, error)) {
        g_prefix_error(error, "%s: ", image->path);
        return NULL;
    }
    return g_steal_pointer(&image);
}

RamImage *ram_image_open_source(ByteSource *source, uint64_t image_off_bytes,
                                GError **error)
{
    g_autoptr(RamImage) image =
        ram_image_open_headers(source, image_off_bytes, error);

    return image && ram_image_read_bitmaps(image, error)
               ? g_steal_pointer(&image)
               : NULL;
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

bool ram_image_check_ram(const RamImage *image, uint64_t max_ram_bytes,
                         GError **error)
{
    if (image->ram_bytes <= max_ram_bytes) {
        return true;
    }
    g_autofree char *is = units_format_size(image->ram_bytes);
    g_autofree char *may_be = units_format_size(max_ram_bytes);
    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                "%s: it has %s of RAM, the machine has %s; start QEMU with the "
                "RAM that it was saved with",
                image->path, is, may_be);
    return false;
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
