/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The image is copied in pieces: each block's header, for blocks that are
 * not lazy the bitmap and the pages that are in the file, and what follows
 * the last block.  All between them stays a hole.
 */
#include "formats/skeleton.h"

#include <errno.h>
#include <unistd.h>

#include "formats/error.h"
#include "formats/file.h"

#define CHUNK_BYTES (256 * 1024)

typedef struct Copy {
    const RamImage *snapshot;
    int to_fd;
    uint8_t *buffer; /* CHUNK_BYTES */
} Copy;

/* From the snapshot to the same offset. */
static bool copy_range(const Copy *copy, uint64_t off_bytes, uint64_t end_bytes,
                       GError **error)
{
    while (off_bytes < end_bytes) {
        size_t len_bytes = (size_t)MIN(end_bytes - off_bytes, CHUNK_BYTES);
        if (!file_read_at(copy->snapshot->fd, copy->buffer, len_bytes,
                          off_bytes, error)) {
            g_prefix_error(error, "%s: ", copy->snapshot->path);
            return false;
        }
        if (!file_write_at(copy->to_fd, copy->buffer, len_bytes, off_bytes,
                           error)) {
            g_prefix_error(error, "the skeleton of %s: ", copy->snapshot->path);
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
    const RamImage *snapshot = copy->snapshot;
    uint64_t header_off_bytes = snapshot->image_off_bytes;

    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const RamImageBlock *block = &snapshot->blocks[i];
        if (!copy_range(copy, header_off_bytes, block->bitmap_off_bytes,
                        error) ||
            (!lazy[i] && !copy_bitmap_and_pages(copy, block, error))) {
            return false;
        }
        header_off_bytes = block->pages_off_bytes + block->len_bytes;
    }
    return copy_range(copy, header_off_bytes, snapshot->file_len_bytes, error);
}

bool skeleton_write(const RamImage *snapshot, const bool *lazy, int fd,
                    GError **error)
{
    g_autofree uint8_t *buffer = g_malloc(CHUNK_BYTES);
    const Copy copy = {snapshot, fd, buffer};

    /* Holes at once: QEMU seeks and reads anywhere in it. */
    if (ftruncate(fd, (off_t)snapshot->file_len_bytes) < 0) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_IO,
                    "the skeleton of %s: cannot make it %" G_GUINT64_FORMAT
                    " bytes long: %s",
                    snapshot->path, snapshot->file_len_bytes,
                    g_strerror(errno));
        return false;
    }
    return copy_image(&copy, lazy, error);
}
