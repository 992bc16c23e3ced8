/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * It is copied in pieces: each block's header, for blocks that are
 * not lazy the bitmap and the pages that are in the file, and what follows
 * the last block.  All between them stays a hole.
 */
#include "formats/skeleton.h"

#include <errno.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

#define CHUNK_BYTES (256 * 1024)

typedef struct Copy {
    const RamImage *image;
    int to_fd;
    uint8_t *buffer; /* CHUNK_BYTES */
} Copy;

/* From the image to the same offset. */
static bool copy_range(const Copy *copy, uint64_t off_bytes, uint64_t end_bytes,
                       GError **error)
{
    while (off_bytes < end_bytes) {
        size_t len_bytes = (size_t)MIN(end_bytes - off_bytes, CHUNK_BYTES);
        if (!byte_source_read_at(copy->image->source, copy->buffer, len_bytes,
                                 off_bytes, error)) {
            g_prefix_error(error, "%s: ", copy->image->path);
            return false;
        }
        if (!file_write_at(copy->to_fd, copy->buffer, len_bytes, off_bytes,
                           error)) {
            g_prefix_error(error, "the skeleton of %s: ", copy->image->path);
            return false;
        }
        off_bytes += len_bytes;
    }
    return true;
}

static bool copy_pages(const Copy *copy, const RamImageBlock *block,
                       GError **error)
{
    uint64_t page = 0;

    while (page < block->n_pages) {
        if (!ram_image_block_has_page(block, page)) {
            page++;
            continue;
        }
        uint64_t end = page + 1;
        while (end < block->n_pages && ram_image_block_has_page(block, end)) {
            end++;
        }
        if (!copy_range(copy, block->pages_off_bytes + page * block->page_bytes,
                        block->pages_off_bytes + end * block->page_bytes,
                        error)) {
            return false;
        }
        page = end;
    }
    return true;
}

static bool copy_bitmap_and_pages(const Copy *copy, const RamImageBlock *block,
                                  GError **error)
{
    return copy_range(copy, block->bitmap_off_bytes,
                      block->bitmap_off_bytes + block->bitmap_len_bytes,
                      error) &&
           copy_pages(copy, block, error);
}

static bool copy_image(const Copy *copy, const bool *lazy, GError **error)
{
    const RamImage *image = copy->image;
    uint64_t header_off_bytes = image->image_off_bytes;

    for (size_t i = 0; i < image->n_blocks; i++) {
        const RamImageBlock *block = &image->blocks[i];
        if (!copy_range(copy, header_off_bytes, block->bitmap_off_bytes,
                        error) ||
            (!lazy[i] && !copy_bitmap_and_pages(copy, block, error))) {
            return false;
        }
        header_off_bytes = block->pages_off_bytes + block->len_bytes;
    }
    return copy_range(
        copy, header_off_bytes,
        image->device_state_off_bytes + image->device_state_len_bytes, error);
}

bool skeleton_write(const RamImage *image, const bool *lazy, int fd,
                    GError **error)
{
    g_autofree uint8_t *buffer = g_malloc(CHUNK_BYTES);
    const Copy copy = {image, fd, buffer};
    /* It ends where we stop to look for device state: QEMU must not take a
     * hole there for more of it. */
    const uint64_t len_bytes =
        MIN(image->file_len_bytes,
            image->device_state_off_bytes + RAM_IMAGE_MAX_DEVICE_STATE_BYTES);

    /* Holes at once: QEMU seeks and reads anywhere in it. */
    if (ftruncate(fd, (off_t)len_bytes) < 0) {
        util_error_set_errno(error, errno,
                             "the skeleton of %s: cannot make it "
                             "%" G_GUINT64_FORMAT " bytes long",
                             image->path, len_bytes);
        return false;
    }
    return copy_image(&copy, lazy, error);
}
