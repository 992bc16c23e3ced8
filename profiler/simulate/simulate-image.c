/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/simulate/simulate-image.h"

#include <string.h>

#include "formats/error.h"

/* 16 TiB of 4 KiB pages; three bitmaps of 512 MiB. */
#define MAX_PAGES (UINT64_C(1) << 32)

/* A piece has as many pages as there are of the smallest size in 1 MiB; those
 * of another block may be larger, and must still be one request. */
#define MAX_PAGE_BYTES (UINT64_C(2) << 20)

/* The bits [from, end) of the word that `from` lies in. */
static uint64_t word_mask(uint64_t from, uint64_t end)
{
    uint64_t last = MIN(end - 1, from | 63);

    return (UINT64_MAX << (from % 64)) & (UINT64_MAX >> (63 - last % 64));
}

void sim_set(uint64_t *bits, uint64_t from, uint64_t end)
{
    for (; from < end; from = (from | 63) + 1) {
        bits[from / 64] |= word_mask(from, end);
    }
}

void sim_clear(uint64_t *bits, uint64_t from, uint64_t end)
{
    for (; from < end; from = (from | 63) + 1) {
        bits[from / 64] &= ~word_mask(from, end);
    }
}

/* The first bit that differs from those of skip (all ones or all zeroes). */
static uint64_t next_unlike(const uint64_t *bits, uint64_t skip, uint64_t from,
                            uint64_t end)
{
    for (; from < end; from = (from | 63) + 1) {
        uint64_t word = (bits[from / 64] ^ skip) & word_mask(from, end);

        if (word) {
            return (from & ~UINT64_C(63)) + (uint64_t)__builtin_ctzll(word);
        }
    }
    return end;
}

uint64_t sim_next_set(const uint64_t *bits, uint64_t from, uint64_t end)
{
    return next_unlike(bits, 0, from, end);
}

uint64_t sim_next_clear(const uint64_t *bits, uint64_t from, uint64_t end)
{
    return next_unlike(bits, UINT64_MAX, from, end);
}

void sim_image_free(SimImage *image)
{
    if (!image) {
        return;
    }
    g_array_unref(image->blocks);
    g_free(image->of_trace);
    g_free(image->in_file);
    g_free(image->pending);
    g_free(image->placed);
    g_free(image);
}

static bool add_block(SimImage *image, const PageOrder *trace, uint32_t i,
                      GError **error)
{
    const PageOrderBlock *from = page_order_block(trace, i);
    SimBlock block = {
        .name = from->name,
        .first = image->n_pages,
        .n_pages = from->len_bytes / from->page_bytes,
        .page_bytes = from->page_bytes,
    };

    if (block.page_bytes > MAX_PAGE_BYTES) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "RAM block %s has pages of %" G_GUINT64_FORMAT
                    " bytes; only up to %" G_GUINT64_FORMAT
                    " bytes can be simulated",
                    block.name, block.page_bytes, MAX_PAGE_BYTES);
        return false;
    }
    if (block.n_pages > MAX_PAGES - image->n_pages) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "the trace's blocks have more than %" G_GUINT64_FORMAT
                    " pages, which is as many as can be simulated",
                    MAX_PAGES);
        return false;
    }
    image->n_pages += block.n_pages;
    image->of_trace[i] = image->blocks->len;
    g_array_append_val(image->blocks, block);
    return true;
}

/* Those of the trace's blocks that the file has, in its sequence; without a
 * file all of them as they come. */
static bool add_blocks(SimImage *image, const PageOrder *trace,
                       const RamImage *snapshot, GError **error)
{
    size_t n = snapshot ? snapshot->n_blocks : trace->blocks->len;

    image->of_trace = g_new0(uint32_t, trace->blocks->len + 1);
    for (size_t i = 0; i < n; i++) {
        int64_t block =
            snapshot ? page_order_find_block(trace, snapshot->blocks[i].name)
                     : (int64_t)i;

        if (block >= 0 && !add_block(image, trace, (uint32_t)block, error)) {
            return false;
        }
    }
    return true;
}

static uint64_t *bitmap_new(uint64_t n_bits, GError **error)
{
    size_t n_words = n_bits / 64 + 1;
    uint64_t *bits = g_try_new0(uint64_t, n_words);

    if (!bits) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "no memory for a bitmap of %zu KiB",
                    n_words * sizeof(*bits) / 1024);
    }
    return bits;
}

/* Mark the pages of block that have at least one page in the file. */
static void mark_in_file(SimImage *image, const SimBlock *block,
                         const RamImageBlock *file)
{
    uint64_t page = sim_next_set(file->bitmap, 0, file->n_pages);

    while (page < file->n_pages) {
        uint64_t end = sim_next_clear(file->bitmap, page, file->n_pages);
        uint64_t from = page * file->page_bytes / block->page_bytes;
        uint64_t last = (end * file->page_bytes - 1) / block->page_bytes;

        sim_set(image->in_file, block->first + from, block->first + last + 1);
        page = sim_next_set(file->bitmap, end, file->n_pages);
    }
}

static bool mark_blocks(SimImage *image, const PageOrder *trace,
                        const RamImage *snapshot, GError **error)
{
    for (guint i = 0; i < trace->blocks->len; i++) {
        const PageOrderBlock *from = page_order_block(trace, i);
        const RamImageBlock *file = ram_image_find_block(snapshot, from->name);

        if (!file || file->len_bytes != from->len_bytes) {
            g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_UNSUPPORTED,
                        "%s has no RAM block %s of %" G_GUINT64_FORMAT
                        " bytes, but the trace does; was it recorded on "
                        "another machine?",
                        snapshot->path, from->name, from->len_bytes);
            return false;
        }
        mark_in_file(image, sim_image_block(image, image->of_trace[i]), file);
    }
    return true;
}

SimImage *sim_image_new(const PageOrder *trace, const RamImage *snapshot,
                        GError **error)
{
    g_autoptr(SimImage) image = g_new0(SimImage, 1);

    image->blocks = g_array_new(false, false, sizeof(SimBlock));
    if (!add_blocks(image, trace, snapshot, error)) {
        return NULL;
    }
    image->in_file = bitmap_new(image->n_pages, error);
    if (!image->in_file) {
        return NULL;
    }
    image->pending = bitmap_new(image->n_pages, error);
    if (!image->pending) {
        return NULL;
    }
    image->placed = bitmap_new(image->n_pages, error);
    if (!image->placed) {
        return NULL;
    }
    if (!snapshot) {
        sim_set(image->in_file, 0, image->n_pages);
    } else if (!mark_blocks(image, trace, snapshot, error)) {
        return NULL;
    }
    memcpy(image->pending, image->in_file,
           (image->n_pages / 64 + 1) * sizeof(*image->pending));
    return g_steal_pointer(&image);
}

const SimBlock *sim_image_block_of(const SimImage *image, uint64_t page)
{
    size_t low = 0;
    size_t high = image->blocks->len;

    while (high - low > 1) {
        size_t middle = (low + high) / 2;

        if (sim_image_block(image, middle)->first <= page) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return sim_image_block(image, low);
}

SimRun sim_image_run(const SimImage *image, const PageExtent *extent)
{
    const SimBlock *block =
        sim_image_block(image, image->of_trace[extent->span.block]);

    return (SimRun){block->first + extent->span.first_page,
                    extent->span.n_pages};
}
