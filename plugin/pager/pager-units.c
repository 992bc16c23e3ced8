/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-units.h"

#include <string.h>

const PageSourceBlock *pager_units_pages_of(const Pager *pager,
                                            const PagerBlock *block)
{
    return &pager->config.source->blocks[block - pager->blocks];
}

static bool has_units(const PagerBlock *block)
{
    return block->unit_pages > 1;
}

/* ---- units and pages ---- */

PageSpan pager_units_of_pages(const Pager *pager, const PageSpan *span)
{
    uint64_t unit_pages = pager->blocks[span->block].unit_pages;
    uint64_t first = span->first_page / unit_pages;
    uint64_t last = (span->first_page + span->n_pages - 1) / unit_pages;

    return (PageSpan){span->block, first, last - first + 1};
}

PageSpan pager_units_to_pages(const Pager *pager, const PageSpan *span)
{
    const PagerBlock *block = &pager->blocks[span->block];
    uint64_t n_pages = pager_units_pages_of(pager, block)->n_pages;
    uint64_t first = span->first_page * block->unit_pages;

    return (PageSpan){span->block, first,
                      MIN(span->n_pages * block->unit_pages, n_pages - first)};
}

PageRead pager_units_read_of(const Pager *pager, const PageRead *units)
{
    PageRead read = *units;

    read.span = pager_units_to_pages(pager, &units->span);
    return read;
}

void pager_units_fill_pages(const PageSourceBlock *layout,
                            const PageRead *pages)
{
    uint8_t *buf = pages->buf;

    for (uint64_t i = 0; i < pages->span.n_pages; i++) {
        if (!page_source_block_has_page(layout, pages->span.first_page + i)) {
            memset(buf + i * layout->page_bytes, 0, layout->page_bytes);
        }
    }
}

void pager_units_fill_holes(const Pager *pager, const PageRead *read)
{
    const PagerBlock *block = &pager->blocks[read->span.block];
    const PageSourceBlock *layout = pager_units_pages_of(pager, block);
    const PageRead pages = pager_units_read_of(pager, read);
    uint64_t end_bytes = pages.span.n_pages * layout->page_bytes;

    if (has_units(block)) {
        pager_units_fill_pages(layout, &pages);
        /* The block may end within its last unit. */
        memset((uint8_t *)read->buf + end_bytes, 0,
               read->span.n_pages * block->unit_bytes - end_bytes);
    }
}

uint64_t pager_units_in_file(const PageSourceBlock *layout, uint64_t first_page,
                             uint64_t n_pages)
{
    uint64_t end = MIN(first_page + n_pages, layout->n_pages);
    uint64_t n = 0;

    for (uint64_t page = first_page; page < end; page++) {
        n += page_source_block_has_page(layout, page);
    }
    return n;
}

static uint64_t count_in_file(const Pager *pager, const PagerBlock *block,
                              uint64_t unit)
{
    return pager_units_in_file(pager_units_pages_of(pager, block),
                               unit * block->unit_pages, block->unit_pages);
}

uint64_t pager_units_count_pages(const Pager *pager, const PagerBlock *block,
                                 const PageWindow *window)
{
    uint64_t unit = 0;
    uint64_t n_units;
    uint64_t n = 0;

    while (page_window_next_run(window, &unit, &n_units)) {
        if (!has_units(block)) {
            n += n_units;
            unit += n_units;
        }
        for (; has_units(block) && n_units > 0; n_units--) {
            n += count_in_file(pager, block, unit++);
        }
    }
    return n;
}

uint64_t pager_units_drop(const Pager *pager, PagerBlock *block,
                          uint64_t first_unit, uint64_t n_units,
                          uint64_t *ret_in_file)
{
    uint64_t n_dropped = 0;

    *ret_in_file = 0;
    if (!has_units(block)) {
        return *ret_in_file =
                   page_states_drop(&block->states, first_unit, n_units);
    }
    for (uint64_t i = 0; i < n_units; i++) {
        if (page_states_drop(&block->states, first_unit + i, 1) > 0) {
            n_dropped++;
            *ret_in_file += count_in_file(pager, block, first_unit + i);
        }
    }
    return n_dropped;
}

void pager_units_clear(PagerBlock *block)
{
    g_free((void *)block->in_units.bitmap);
    block->in_units.bitmap = NULL;
}
