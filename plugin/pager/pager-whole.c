/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-whole.h"

#include "plugin/pager/pager-units.h"
#include "profiler/orders/read-ahead.h"

static bool fail_whole(const Pager *pager, const PagerBlock *block,
                       const char *what, uint64_t page, int rc, GError **error)
{
    PageSource *source = pager->config.source;
    PagePlace place;

    source->describe(source, (size_t)(block - pager->blocks), page, &place);
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                "RAM block %s: %s failed at offset %" G_GUINT64_FORMAT
                " of %s: %s; guest RAM is lost: start QEMU again",
                block->layout->name, what, place.off_bytes, place.path,
                g_strerror(-rc));
    return false;
}

/* Straight to where they belong: the n pages from page on. */
static int read_to(Pager *pager, const PagerBlock *block, uint64_t page,
                   uint64_t n_pages)
{
    const PageSourceBlock *layout = pager_units_pages_of(pager, block);
    PageSource *source = pager->config.source;
    PageRead read = {
        .span = {(size_t)(block - pager->blocks), page, n_pages},
        .buf = (void *)(uintptr_t)(block->host + page * layout->page_bytes),
        .once = true,
    };
    int rc = page_source_peek(source, &read);

    load_stats_read(pager->config.stats, read.bytes_read);
    if (rc == 0) {
        pager_units_fill_pages(layout, &read);
    }
    return rc;
}

/* Load a unit of a whole block, the pages from first to end. */
static bool load_unit(Pager *pager, const PagerBlock *block, uint64_t first,
                      uint64_t end, GError **error)
{
    const PageSourceBlock *layout = pager_units_pages_of(pager, block);
    uint64_t step = READ_AHEAD_PIECE_BYTES / layout->page_bytes;
    /* Without it there would be a signal where there is no huge page. */
    int rc = ram_range_populate(block->host + first * layout->page_bytes,
                                block->unit_bytes);

    if (rc < 0) {
        return fail_whole(pager, block, "getting a reserved huge page", first,
                          rc, error);
    }
    for (uint64_t page = first; page < end; page += step) {
        uint64_t n_pages = MIN(step, end - page);
        uint64_t n_in_file = pager_units_in_file(layout, page, step);

        rc = n_in_file > 0 ? read_to(pager, block, page, n_pages) : 0;
        if (rc < 0) {
            return fail_whole(pager, block, "reading", page, rc, error);
        }
        load_stats_placed(pager->config.stats, PLACED_BY_REST, n_in_file);
    }
    return true;
}

static bool load_block(Pager *pager, const PagerBlock *block, GError **error)
{
    const PageSourceBlock *layout = pager_units_pages_of(pager, block);
    uint64_t step = block->unit_pages;
    bool ok = true;

    for (uint64_t page = 0; ok && page < layout->n_pages; page += step) {
        bool is_wanted = block->huge_page.is_reserved ||
                         pager_units_in_file(layout, page, step) > 0;

        ok = !is_wanted || load_unit(pager, block, page,
                                     MIN(page + step, layout->n_pages), error);
    }
    return ok;
}

bool pager_whole_load(Pager *pager, GError **error)
{
    bool ok = true;

    for (size_t i = 0; ok && i < pager->n_attached_blocks; i++) {
        const PagerBlock *block = pager->attached_blocks[i];

        ok = !block->is_whole || load_block(pager, block, error);
    }
    return ok;
}
