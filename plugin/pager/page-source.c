/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/page-source.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "formats/error.h"
#include "profiler/orders/read-ahead.h"

typedef struct FileSource {
    PageSource base;
    const RamImage *snapshot; /* borrowed */
    int fd;
} FileSource;

static int read_fully(int fd, uint8_t *buf, uint64_t len, uint64_t off)
{
    while (len > 0) {
        ssize_t got = pread(fd, buf, len, (off_t)off);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -errno;
        }
        if (got == 0) {
            return -ENODATA;
        }
        buf += got;
        off += (uint64_t)got;
        len -= (uint64_t)got;
    }
    return 0;
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

static int file_source_read(PageSource *base, size_t block_index,
                            uint64_t first_page, uint64_t n_pages, void *buf,
                            uint64_t *bytes_read)
{
    FileSource *source = (FileSource *)base;
    const RamImageBlock *block = &source->snapshot->blocks[block_index];
    uint64_t end = first_page + n_pages;
    uint64_t page = skip_holes(block, first_page, end);

    while (page < end) {
        uint64_t stop = stretch_end(block, page, end);
        uint64_t len = (stop - page) * block->page_bytes;
        uint8_t *dst = (uint8_t *)buf + (page - first_page) * block->page_bytes;
        int rc = read_fully(source->fd, dst, len,
                            block->pages_off_bytes + page * block->page_bytes);

        if (rc < 0) {
            return rc;
        }
        *bytes_read += len;
        page = skip_holes(block, stop, end);
    }
    return 0;
}

static void file_source_free(PageSource *base)
{
    FileSource *source = (FileSource *)base;

    close(source->fd);
    g_free(source);
}

/* A description of the same file for our own access advice; where this process
 * may not open the file, or has no /proc, the one that it was given. */
static int open_again(int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY | O_CLOEXEC);

    return again >= 0 ? again : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

PageSource *page_source_new_file(const RamImage *snapshot, GError **error)
{
    int fd = open_again(snapshot->fd);

    if (fd < 0) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_IO,
                    "%s: its descriptor cannot be duplicated: %s",
                    snapshot->path, g_strerror(errno));
        return NULL;
    }
    /* We choose what is read together; the kernel's guesses would only
     * delay the page that somebody waits for.  Advice: may fail. */
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);

    FileSource *source = g_new0(FileSource, 1);
    source->base.read = file_source_read;
    source->base.free = file_source_free;
    source->snapshot = snapshot;
    source->fd = fd;
    return &source->base;
}

void page_source_free(PageSource *source)
{
    if (source) {
        source->free(source);
    }
}
