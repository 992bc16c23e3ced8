/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/simulate-image.h"

#include <string.h>

#include "formats/error.h"

/* 16 TiB of 4 KiB pages; two bitmaps of 512 MiB. */
#define MAX_PAGES (UINT64_C(1) << 32)

static const SimBlock *block_at(const SimImage *image, size_t i)
{
    return &g_array_index(image->blocks, SimBlock, i);
}

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
    g_hash_table_unref(image->by_name);
    g_array_unref(image->blocks);
    g_free(image->pending);
    g_free(image->zero);
    g_free(image->placed);
    g_free(image);
}

static bool add_blocks(SimImage *image, const PageOrder *trace, GError **error)
{
    for (size_t i = 0; i < trace->blocks->len; i++) {
        const PageOrderBlock *from = page_order_block(trace, i);
        SimBlock block = {
            .name = from->name,
            .first = image->n_pages,
            .n_pages = from->len_bytes / from->page_bytes,
            .page_bytes = from->page_bytes,
        };

        if (block.n_pages > MAX_PAGES - image->n_pages) {
            g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                        "the trace's blocks have more than %" G_GUINT64_FORMAT
                        " pages, which is as many as can be simulated",
                        MAX_PAGES);
            return false;
        }
        image->n_pages += block.n_pages;
        g_hash_table_insert(image->by_name, from->name, GSIZE_TO_POINTER(i));
        g_array_append_val(image->blocks, block);
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
                         const SnapshotBlock *file)
{
    uint64_t page = sim_next_set(file->bitmap, 0, file->n_pages);

    while (page < file->n_pages) {
        uint64_t end = sim_next_clear(file->bitmap, page, file->n_pages);
        uint64_t from = page * file->page_bytes / block->page_bytes;
        uint64_t last = (end * file->page_bytes - 1) / block->page_bytes;

        sim_set(image->pending, block->first + from, block->first + last + 1);
        page = sim_next_set(file->bitmap, end, file->n_pages);
    }
}

static bool mark_pending(SimImage *image, const Snapshot *snapshot,
                         GError **error)
{
    for (size_t i = 0; i < image->blocks->len; i++) {
        const SimBlock *block = block_at(image, i);
        const SnapshotBlock *file = snapshot_find_block(snapshot, block->name);

        if (!file || file->len_bytes != block->n_pages * block->page_bytes) {
            g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_UNSUPPORTED,
                        "%s has no RAM block %s of %" G_GUINT64_FORMAT
                        " bytes, but the trace has; was it recorded on "
                        "another machine?",
                        snapshot->path, block->name,
                        block->n_pages * block->page_bytes);
            return false;
        }
        mark_in_file(image, block, file);
    }
    return true;
}

SimImage *sim_image_new(const PageOrder *trace, const Snapshot *snapshot,
                        GError **error)
{
    g_autoptr(SimImage) image = g_new0(SimImage, 1);

    image->blocks = g_array_new(false, false, sizeof(SimBlock));
    image->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    if (!add_blocks(image, trace, error)) {
        return NULL;
    }
    image->pending = bitmap_new(image->n_pages, error);
    if (!image->pending) {
        return NULL;
    }
    image->zero = bitmap_new(image->n_pages, error);
    if (!image->zero) {
        return NULL;
    }
    image->placed = bitmap_new(image->n_pages, error);
    if (!image->placed) {
        return NULL;
    }
    if (!snapshot) {
        sim_set(image->pending, 0, image->n_pages);
    } else if (!mark_pending(image, snapshot, error)) {
        return NULL;
    }
    for (uint64_t i = 0; i <= image->n_pages / 64; i++) {
        image->zero[i] = ~image->pending[i];
    }
    return g_steal_pointer(&image);
}

const SimBlock *sim_image_block_of(const SimImage *image, uint64_t page)
{
    size_t low = 0;
    size_t high = image->blocks->len;

    while (high - low > 1) {
        size_t middle = (low + high) / 2;

        if (block_at(image, middle)->first <= page) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return block_at(image, low);
}

static const SimBlock *find_block(const SimImage *image, const char *name)
{
    gpointer i = NULL;

    if (!g_hash_table_lookup_extended(image->by_name, name, NULL, &i)) {
        return NULL;
    }
    return block_at(image, GPOINTER_TO_SIZE(i));
}

bool sim_image_run(const SimImage *image, const PageOrder *order,
                   const PageExtent *extent, SimRun *ret_run)
{
    const PageOrderBlock *from = page_order_block(order, extent->block);
    const SimBlock *block = find_block(image, from->name);
    uint64_t first, last;

    if (!block) {
        return false;
    }
    first = extent->first_page * from->page_bytes / block->page_bytes;
    last = ((extent->first_page + extent->n_pages) * from->page_bytes - 1) /
           block->page_bytes;
    if (first >= block->n_pages) {
        return false;
    }
    last = MIN(last, block->n_pages - 1);
    *ret_run = (SimRun){block->first + first, last - first + 1};
    return true;
}
