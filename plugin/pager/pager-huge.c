/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-huge.h"

#include <string.h>

#include "plugin/pager/huge-ranges.h"

/* Huge pages of the size that a test asks for, whatever the system has. */
#define FORCED_HUGE_BYTES (UINT64_C(2) << 20)

static bool fits(const PagerBlock *block, uint64_t huge_bytes)
{
    uint64_t huge_pages = huge_bytes / block->unit_bytes;

    return block->host != 0 && block->placer.ops->move &&
           block->host % huge_bytes == 0 && huge_pages % 64 == 0 &&
           huge_pages <= PAGE_WINDOW_MAX_PAGES &&
           /* Where our memory comes from is another matter. */
           !ram_range_is_bound(block->host);
}

uint64_t pager_huge_find(Pager *pager)
{
    bool is_forced = pager->config.huge == HUGE_PLACING_ALWAYS;
    HugePolicy policy = {.huge_bytes = FORCED_HUGE_BYTES};
    g_autoptr(GArray) ranges = NULL;
    bool any = false;

    if (pager->config.huge == HUGE_PLACING_NEVER ||
        (!is_forced && !huge_policy_read(HUGE_POLICY_FOLDER, &policy))) {
        return 0;
    }
    if (!is_forced) {
        ranges = huge_ranges_read(&policy);
    }
    for (size_t i = 0; i < pager->n_blocks; i++) {
        PagerBlock *block = &pager->blocks[i];

        if (fits(block, policy.huge_bytes) &&
            (is_forced ||
             huge_ranges_have(ranges, block->kind, block->host,
                              block->host + block->layout->len_bytes))) {
            block->huge_pages = policy.huge_bytes / block->unit_bytes;
            any = true;
        }
    }
    return any ? policy.huge_bytes : 0;
}

/* How many of the n_pages from first_page on, both multiples of 64, are in the
 * file. */
static uint64_t count_in_file(const PagerBlock *block, uint64_t first_page,
                              uint64_t n_pages)
{
    uint64_t n = 0;

    for (uint64_t i = first_page / 64; i < (first_page + n_pages) / 64; i++) {
        n += (uint64_t)__builtin_popcountll(block->layout->bitmap[i]);
    }
    return n;
}

bool pager_huge_fits(const PagerBlock *block, uint64_t first_page)
{
    uint64_t n_pages = block->huge_pages;

    if (first_page + n_pages > block->layout->n_pages) {
        return false;
    }
    uint64_t n_in_file = count_in_file(block, first_page, n_pages);

    return huge_ranges_is_dense(n_in_file, n_pages) &&
           page_states_count_pending(&block->states, first_page, n_pages) ==
               n_in_file;
}

void pager_huge_fill_holes(const Pager *pager, const Piece *piece)
{
    const PageSpan *span = &piece->read.span;
    const PagerBlock *block = &pager->blocks[span->block];

    for (uint64_t i = 0; i < span->n_pages; i++) {
        if (!page_source_block_has_page(block->layout, span->first_page + i)) {
            memset((uint8_t *)piece->read.buf + i * block->unit_bytes, 0,
                   block->unit_bytes);
        }
    }
}

bool pager_huge_is_whole(const PagerBlock *block, const Piece *piece,
                         uint64_t n_taken)
{
    const PageSpan *span = &piece->read.span;

    return n_taken == count_in_file(block, span->first_page, span->n_pages);
}
