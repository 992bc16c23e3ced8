/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-check.h"

#include <string.h>

#include "plugin/pager/pager-state.h"
#include "plugin/pager/pager-units.h"

/* So many pages of each block are looked at, where they are in place. */
#define N_SAMPLES 64
/* So far one looks for each. */
#define MAX_SEARCH_PAGES UINT64_C(4096)

static bool is_zero(const uint8_t *page, uint64_t len_bytes)
{
    return page[0] == 0 && memcmp(page, page + 1, len_bytes - 1) == 0;
}

/* Whether the source's page is zero, or cannot be read just now: then nothing
 * can be said. */
static bool may_be_zero(Pager *pager, size_t block, uint64_t page)
{
    uint64_t unit_bytes = pager->blocks[block].unit_bytes;
    g_autofree uint8_t *buf = g_malloc(unit_bytes);
    const PageRead unit = {.span = {block, page, 1}, .buf = buf};
    PageRead read = pager_units_read_of(pager, &unit);

    if (page_source_peek(pager->config.source, &read) < 0) {
        return true;
    }
    pager_units_fill_holes(pager, &unit);
    return is_zero(buf, unit_bytes);
}

/* The first page in place that is in the file, of those from first to end. */
static bool find_placed(const PagerBlock *block, uint64_t first, uint64_t end,
                        uint64_t *ret_page)
{
    for (uint64_t page = first; page < end; page++) {
        if (page_source_block_has_page(block->layout, page) &&
            page_states_is_placed(&block->states, page)) {
            *ret_page = page;
            return true;
        }
    }
    return false;
}

static bool check_block(Pager *pager, size_t index, GError **error)
{
    const PagerBlock *block = &pager->blocks[index];
    uint64_t n_pages = block->layout->n_pages;

    for (uint64_t i = 0; i < N_SAMPLES; i++) {
        uint64_t first = n_pages * i / N_SAMPLES;
        uint64_t end = n_pages * (i + 1) / N_SAMPLES;
        uint64_t page;

        if (!find_placed(block, first, MIN(end, first + MAX_SEARCH_PAGES),
                         &page)) {
            continue;
        }
        const uint8_t *memory =
            (const uint8_t *)(uintptr_t)(block->host +
                                         page * block->unit_bytes);
        if (is_zero(memory, block->unit_bytes) &&
            !may_be_zero(pager, index, page)) {
            g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                        "RAM block %s: page %" G_GUINT64_FORMAT
                        " was overwritten with zeroes when this QEMU loaded "
                        "the device state; a lazy load needs a QEMU that does "
                        "not touch it; load with --policy full",
                        block->layout->name, page);
            return false;
        }
    }
    return true;
}

bool pager_enter(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    bool may_enter = pager->attached && !pager->released;
    pager->n_inside += may_enter;
    pthread_mutex_unlock(&pager->lock);
    return may_enter;
}

void pager_leave(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->n_inside--;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
}

bool pager_check_untouched(Pager *pager, GError **error)
{
    bool ok = true;

    if (!pager_enter(pager)) {
        return true;
    }
    for (size_t i = 0; ok && i < pager->n_blocks; i++) {
        ok = pager->blocks[i].host == 0 || check_block(pager, i, error);
    }
    pager_leave(pager);
    return ok;
}
