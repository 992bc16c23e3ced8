/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/order-packing.h"

#include <fcntl.h>
#include <unistd.h>

#include "cli/interrupts.h"
#include "formats/file-kind.h"
#include "formats/pack-writer.h"
#include "formats/pack.h"
#include "host/output-file.h"
#include "profiler/orders/replay.h"
#include "util/error.h"

typedef struct Packing {
    const RamImage *image;
    const char *path; /* the pack's */
    int interrupt_fd;
    PackWriter *writer;
    Replay *replay;
    uint64_t **wanted; /* by block, a bit a page: still to be packed */
    uint64_t total_bytes;
    const Progress *progress;
    GArray *spans; /* of PageSpan: of the chunk that is being filled */
    uint8_t *pages;
    size_t pages_len_bytes;
    PackingResult result;
} Packing;

/* ---- what is packed ---- */

static Replay *replay_of(const PageOrder *order, const RamImage *image)
{
    g_autofree ReplayBlock *blocks = g_new0(ReplayBlock, image->n_blocks);

    for (size_t i = 0; i < image->n_blocks; i++) {
        const RamImageBlock *block = &image->blocks[i];

        blocks[i] = (ReplayBlock){block->name, block->page_bytes,
                                  block->n_pages, block->bitmap};
    }
    return replay_new(order, blocks, image->n_blocks);
}

/* No page that is longer than a chunk can be packed. */
static void want(Packing *packing, size_t index)
{
    const RamImageBlock *block = &packing->image->blocks[index];
    uint64_t *wanted = g_new0(uint64_t, block->n_pages / 64 + 1);

    packing->wanted[index] = wanted;
    if (block->page_bytes > PACK_CHUNK_BYTES) {
        return;
    }
    replay_mark_pages(packing->replay, index, wanted);
    for (uint64_t page = 0; page < block->n_pages; page++) {
        uint64_t bit = UINT64_C(1) << (page % 64);

        if (!ram_image_block_has_page(block, page)) {
            wanted[page / 64] &= ~bit;
        } else if (wanted[page / 64] & bit) {
            packing->total_bytes += block->page_bytes;
        }
    }
}

static bool is_wanted(const Packing *packing, size_t block, uint64_t page)
{
    return (packing->wanted[block][page / 64] >> (page % 64)) & 1;
}

static void start(Packing *packing, const PageOrder *order)
{
    size_t n_blocks = packing->image->n_blocks;

    packing->replay = replay_of(order, packing->image);
    packing->wanted = g_new0(uint64_t *, n_blocks);
    for (size_t i = 0; i < n_blocks; i++) {
        want(packing, i);
    }
    packing->spans = g_array_new(FALSE, FALSE, sizeof(PageSpan));
    packing->pages = g_malloc(PACK_CHUNK_BYTES);
}

static void clear(Packing *packing)
{
    for (size_t i = 0; packing->wanted && i < packing->image->n_blocks; i++) {
        g_free(packing->wanted[i]);
    }
    g_free(packing->wanted);
    replay_free(packing->replay);
    g_clear_pointer(&packing->spans, g_array_unref);
    g_free(packing->pages);
    pack_writer_free(packing->writer);
}

/* ---- packing ---- */

static bool end_chunk(Packing *packing, GError **error)
{
    if (packing->spans->len == 0) {
        return true;
    }
    if (!pack_writer_add(packing->writer,
                         (const PageSpan *)packing->spans->data,
                         packing->spans->len, packing->pages,
                         packing->pages_len_bytes, error)) {
        g_prefix_error(error, "%s: ", packing->path);
        return false;
    }
    packing->result.n_chunks++;
    packing->result.n_bytes += packing->pages_len_bytes;
    packing->pages_len_bytes = 0;
    g_array_set_size(packing->spans, 0);
    progress_bytes(packing->progress, "packing", packing->result.n_bytes,
                   packing->total_bytes);
    if (interrupts_take(packing->interrupt_fd) != 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED,
                    "%s: interrupted", packing->path);
        return false;
    }
    return true;
}

/* Add pages that the chunk has room for. */
static bool add_run(Packing *packing, const PageSpan *run, GError **error)
{
    const RamImageBlock *block = &packing->image->blocks[run->block];
    uint64_t len_bytes = run->n_pages * block->page_bytes;

    if (!byte_source_read_at(
            packing->image->source, packing->pages + packing->pages_len_bytes,
            len_bytes,
            block->pages_off_bytes + run->first_page * block->page_bytes,
            error)) {
        g_prefix_error(error, "%s: ", packing->image->path);
        return false;
    }
    for (uint64_t i = 0; i < run->n_pages; i++) {
        uint64_t page = run->first_page + i;

        packing->wanted[run->block][page / 64] &= ~(UINT64_C(1) << (page % 64));
    }
    g_array_append_val(packing->spans, *run);
    packing->pages_len_bytes += len_bytes;
    packing->result.n_pages += run->n_pages;
    return true;
}

/* The next pages of span, from *page on, that are wanted and fit the chunk;
 * false: none. */
static bool next_run(const Packing *packing, const PageSpan *span,
                     uint64_t *page, PageSpan *ret_run)
{
    uint64_t max_pages = (PACK_CHUNK_BYTES - packing->pages_len_bytes) /
                         packing->image->blocks[span->block].page_bytes;
    uint64_t end = page_span_end(span);

    while (*page < end && !is_wanted(packing, span->block, *page)) {
        ++*page;
    }
    *ret_run = (PageSpan){span->block, *page, 0};
    while (*page < end && ret_run->n_pages < max_pages &&
           is_wanted(packing, span->block, *page)) {
        ++*page;
        ret_run->n_pages++;
    }
    return ret_run->n_pages > 0;
}

static bool add_span(Packing *packing, const PageSpan *span, GError **error)
{
    uint64_t end = page_span_end(span);
    uint64_t page = span->first_page;
    PageSpan run;

    while (page < end) {
        if (next_run(packing, span, &page, &run)) {
            if (!add_run(packing, &run, error)) {
                return false;
            }
        } else if (page < end && !end_chunk(packing, error)) {
            return false;
        }
    }
    return true;
}

static bool write_pack(Packing *packing, GError **error)
{
    PageSpan span;

    while (replay_next(packing->replay, UINT64_MAX, &span)) {
        if (!add_span(packing, &span, error)) {
            return false;
        }
    }
    if (!end_chunk(packing, error)) {
        return false;
    }
    if (!pack_writer_finish(packing->writer, error)) {
        g_prefix_error(error, "%s: ", packing->path);
        return false;
    }
    return ram_image_check_unchanged(packing->image, error);
}

bool order_packing_run(const PageOrder *order, const RamImage *image,
                       const char *path, int interrupt_fd,
                       const Progress *progress, PackingResult *ret_result,
                       GError **error)
{
    Packing packing = {.image = image,
                       .path = path,
                       .interrupt_fd = interrupt_fd,
                       .progress = progress};
    g_autoptr(OutputFile) file = NULL;

    if (!file_kind_check_replaceable(path, FILE_KIND_PACK, error) ||
        !(file = output_file_new(path, error))) {
        return false;
    }
    int fd = output_file_open(file, O_WRONLY, error);
    if (fd < 0) {
        return false;
    }
    packing.writer = pack_writer_new(fd, image);
    start(&packing, order);
    bool ok = write_pack(&packing, error) &&
              output_file_publish(file, &packing.result.stored_bytes, error);
    progress_end(progress);
    if (ok) {
        *ret_result = packing.result;
    }
    clear(&packing);
    close(fd);
    return ok;
}
