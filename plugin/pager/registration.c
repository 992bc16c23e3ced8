/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/registration.h"

#include <stdbool.h>
#include <string.h>

#include "plugin/pager/kernel-file.h"

/* What is looked at as one: a huge page. */
#define CHUNK_BYTES (UINT64_C(2) << 20)

/* What is left to QEMU, at the least: a quarter of what a process may have,
 * or so many mappings. */
#define MIN_LEFT 4096

/* More borders than these are worth no more: each costs some 2 us at attach. */
#define MAX_BORDERS 1024

/* The kernel's own default, for where the sysctl cannot be read. */
#define DEFAULT_MAX_MAPPINGS 65530
#define MAX_MAPPINGS_PATH    "/proc/sys/vm/max_map_count"

uint64_t registration_budget(uint64_t max_mappings, uint64_t n_mappings,
                             size_t n_blocks)
{
    /* A block may have been one mapping with its neighbours. */
    uint64_t taken =
        n_mappings + MAX(max_mappings / 4, MIN_LEFT) + 2 * (uint64_t)n_blocks;

    return taken < max_mappings ? MIN(max_mappings - taken, MAX_BORDERS) : 0;
}

static uint64_t count_lines(const char *text)
{
    uint64_t n = 0;

    for (; (text = strchr(text, '\n')); text++) {
        n++;
    }
    return n;
}

uint64_t registration_budget_here(size_t n_blocks)
{
    g_autofree char *maps = kernel_file_read(KERNEL_FILE_MAPS);
    g_autofree char *text = NULL;
    uint64_t max_mappings = DEFAULT_MAX_MAPPINGS;

    if (g_file_get_contents(MAX_MAPPINGS_PATH, &text, NULL, NULL)) {
        max_mappings = g_ascii_strtoull(text, NULL, 10);
    }
    return maps ? registration_budget(max_mappings, count_lines(maps), n_blocks)
                : 0;
}

static bool has_page_in(const RamPages *block, uint64_t first, uint64_t n_pages)
{
    uint64_t end = MIN(first + n_pages, block->n_pages);

    for (uint64_t page = first; page < end; page++) {
        uint64_t word = block->in_file[page / 64] >> (page % 64);

        if (word & 1) {
            return true;
        }
        if (word == 0) {
            page |= 63;
        }
    }
    return false;
}

/* The chunk that begins at *page: sets *page to the next one's begin, and
 * returns whether it has a page in the file. */
static bool next_chunk(const RamPages *block, uint64_t *page)
{
    uint64_t first = *page;
    uint64_t chunk_pages = MAX(CHUNK_BYTES / block->page_bytes, 1);

    *page = MIN(first + chunk_pages, block->n_pages);
    return has_page_in(block, first, chunk_pages);
}

/* Add the block's holes at their finest, each with the borders it costs. */
static void add_holes(GArray *holes, const RamPages *block)
{
    uint64_t page = 0;

    while (page < block->n_pages) {
        uint64_t first = page;
        uint64_t end = page;

        while (page < block->n_pages && !next_chunk(block, &page)) {
            end = page;
        }
        if (end > first) {
            const RegistrationHole hole = {
                .start = block->host + first * block->page_bytes,
                .len_bytes = (end - first) * block->page_bytes,
                .n_borders = (first > 0) + (end < block->n_pages),
            };

            g_array_append_val(holes, hole);
        }
    }
}

static gint compare_lengths(gconstpointer a, gconstpointer b)
{
    uint64_t x = ((const RegistrationHole *)a)->len_bytes;
    uint64_t y = ((const RegistrationHole *)b)->len_bytes;

    return (x < y) - (x > y);
}

GArray *registration_plan(const RamPages *blocks, size_t n_blocks,
                          uint64_t max_borders)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(RegistrationHole));
    GArray *kept = g_array_new(FALSE, FALSE, sizeof(RegistrationHole));

    for (size_t i = 0; i < n_blocks; i++) {
        add_holes(all, &blocks[i]);
    }
    g_array_sort(all, compare_lengths);
    for (guint i = 0; i < all->len; i++) {
        const RegistrationHole *hole = &g_array_index(all, RegistrationHole, i);

        if (hole->n_borders <= max_borders) {
            max_borders -= hole->n_borders;
            g_array_append_val(kept, *hole);
        }
    }
    return kept;
}
