/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/page-source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/error.h"
#include "plugin/pager/page-file.h"
#include "profiler/orders/read-ahead.h"

typedef struct FileSource {
    PageSource base;
    const RamImage *snapshot; /* borrowed */
    bool has_file;            /* else read through snapshot's source */
    PageFile file;
} FileSource;

/* Of an image that is not a file's bytes as they are: it lies in a qcow2. */
static int read_through(const ByteSource *bytes, uint8_t *buf, uint64_t len,
                        uint64_t off)
{
    g_autoptr(GError) error = NULL;

    if (byte_source_read_at(bytes, buf, len, off, &error)) {
        return 0;
    }
    if (g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_CHANGED)) {
        return -ESTALE;
    }
    return -EIO;
}

static uint64_t skip_holes(const RamImageBlock *block, uint64_t page,
                           uint64_t end)
{
    while (page < end && !ram_image_block_has_page(block, page)) {
        page++;
    }
    return page;
}

/* The end of the stretch that begins at page (which is in the file) and has
 * no hole that is too large to be read through; its last page is in the
 * file. */
static uint64_t stretch_end(const RamImageBlock *block, uint64_t page,
                            uint64_t end)
{
    uint64_t max_hole = READ_AHEAD_MAX_HOLE_BYTES / block->page_bytes;
    uint64_t last = page;

    for (uint64_t i = page + 1; i < end && i - last <= max_hole + 1; i++) {
        if (ram_image_block_has_page(block, i)) {
            last = i;
        }
    }
    return last + 1;
}

/* Bytes of the file that are read at once, and where to. */
typedef struct Stretch {
    uint64_t off;
    uint64_t len;
    uint8_t *dst;
} Stretch;

/* The next stretch of the read from *page on, which becomes what is behind it;
 * false: there is none. */
static bool next_stretch(const FileSource *source, const PageRead *read,
                         uint64_t *page, Stretch *ret_stretch)
{
    const PageSpan *span = &read->span;
    const RamImageBlock *block = &source->snapshot->blocks[span->block];
    uint64_t end = span->first_page + span->n_pages;
    uint64_t first = skip_holes(block, *page, end);

    if (first >= end) {
        return false;
    }
    *page = stretch_end(block, first, end);
    *ret_stretch = (Stretch){
        .off = block->pages_off_bytes + first * block->page_bytes,
        .len = (*page - first) * block->page_bytes,
        .dst = (uint8_t *)read->buf +
               (first - span->first_page) * block->page_bytes,
    };
    return true;
}

static int read_stretches(FileSource *source, PageRead *read)
{
    uint64_t page = read->span.first_page;
    Stretch next;

    read->bytes_read = 0;
    while (next_stretch(source, read, &page, &next)) {
        int rc = source->has_file
                     ? page_file_read(&source->file, next.dst, next.len,
                                      next.off, read->once)
                     : read_through(source->snapshot->source, next.dst,
                                    next.len, next.off);

        if (rc < 0) {
            return rc;
        }
        read->bytes_read += next.len;
    }
    return 0;
}

/* What was read of a file that is being overwritten, or was cut off and is
 * written anew, is not the snapshot: libvirt saves a domain to the file that it
 * was restored from.  A source without a file of its own sees to that when it
 * is read. */
static int file_source_read(PageSource *base, PageRead *read)
{
    FileSource *source = (FileSource *)base;
    int rc = read_stretches(source, read);

    bool has_changed = rc == 0 && source->has_file &&
                       !ram_image_check_unchanged(source->snapshot, NULL);

    return has_changed ? -ESTALE : rc;
}

static void file_source_warm(PageSource *base, PageRead *read)
{
    FileSource *source = (FileSource *)base;
    uint64_t page = read->span.first_page;
    Stretch next;

    read->bytes_read = 0;
    while (next_stretch(source, read, &page, &next)) {
        read->bytes_read +=
            page_file_warm(&source->file, next.dst, next.len, next.off);
    }
}

static void file_source_sequence(const PageSource *base, size_t *ret_blocks)
{
    const FileSource *source = (const FileSource *)base;

    page_source_sequence_of(source->snapshot, ret_blocks);
}

static void file_source_describe(const PageSource *base, size_t block,
                                 uint64_t page, PagePlace *ret_place)
{
    const FileSource *source = (const FileSource *)base;
    const RamImageBlock *layout = &source->snapshot->blocks[block];

    ret_place->path = source->snapshot->path;
    ret_place->off_bytes = layout->pages_off_bytes + page * layout->page_bytes;
}

static bool file_source_check(PageSource *base, GError **error)
{
    return ram_image_check_unchanged(((FileSource *)base)->snapshot, error);
}

static void file_source_free(PageSource *base)
{
    FileSource *source = (FileSource *)base;

    if (source->has_file) {
        page_file_close(&source->file);
    }
    g_free(source->base.blocks);
    g_free(source);
}

static bool open_pages(FileSource *source, LoadCache cache, GError **error)
{
    const RamImage *snapshot = source->snapshot;

    if (snapshot->fd < 0) {
        byte_source_advise_random(snapshot->source);
        return true;
    }
    int rc = page_file_open(snapshot->fd, cache, &source->file);
    if (rc < 0) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_IO,
                    "%s: its descriptor cannot be duplicated: %s",
                    snapshot->path, g_strerror(-rc));
        return false;
    }
    source->has_file = true;
    return true;
}

PageSource *page_source_new_file(const RamImage *snapshot, LoadCache cache,
                                 GError **error)
{
    FileSource *source = g_new0(FileSource, 1);

    source->snapshot = snapshot;
    if (!open_pages(source, cache, error)) {
        g_free(source);
        return NULL;
    }
    source->base.read = file_source_read;
    source->base.warm = source->has_file && cache != LOAD_CACHE_DIRECT
                            ? file_source_warm
                            : NULL;
    source->base.sequence = file_source_sequence;
    source->base.describe = file_source_describe;
    source->base.check = file_source_check;
    source->base.free = file_source_free;
    page_source_set_blocks(&source->base, snapshot);
    return &source->base;
}

void page_source_free(PageSource *source)
{
    if (source) {
        source->free(source);
    }
}

void page_source_set_blocks(PageSource *source, const RamImage *snapshot)
{
    source->name = snapshot->path;
    source->blocks = g_new(PageSourceBlock, snapshot->n_blocks);
    source->n_blocks = snapshot->n_blocks;
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const RamImageBlock *block = &snapshot->blocks[i];

        source->blocks[i] = (PageSourceBlock){
            .name = block->name,
            .len_bytes = block->len_bytes,
            .page_bytes = block->page_bytes,
            .n_pages = block->n_pages,
            .n_pages_in_file = block->n_pages_in_file,
            .bitmap = block->bitmap,
        };
    }
}

const PageSourceBlock *page_source_find_block(const PageSource *source,
                                              const char *name)
{
    for (size_t i = 0; i < source->n_blocks; i++) {
        if (strcmp(source->blocks[i].name, name) == 0) {
            return &source->blocks[i];
        }
    }
    return NULL;
}

static int compare_offsets(const void *a, const void *b, void *opaque)
{
    const RamImage *snapshot = opaque;
    uint64_t x = snapshot->blocks[*(const size_t *)a].pages_off_bytes;
    uint64_t y = snapshot->blocks[*(const size_t *)b].pages_off_bytes;

    return (x > y) - (x < y);
}

void page_source_sequence_of(const RamImage *snapshot, size_t *ret_blocks)
{
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        ret_blocks[i] = i;
    }
    qsort_r(ret_blocks, snapshot->n_blocks, sizeof(size_t), compare_offsets,
            (void *)snapshot);
}

void page_source_submit(PageSource *source, PageRead *read)
{
    if (source->submit) {
        source->submit(source, read);
    }
}

int page_source_complete(PageSource *source, PageRead *read)
{
    return source->complete ? source->complete(source, read)
                            : source->read(source, read);
}

int page_source_peek(PageSource *source, PageRead *read)
{
    return source->peek ? source->peek(source, read)
                        : source->read(source, read);
}
