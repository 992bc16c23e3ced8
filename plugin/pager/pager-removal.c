/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-removal.h"

#include "plugin/pager/pager-fail.h"
#include "plugin/pager/pager-place.h"
#include "plugin/pager/pager-state.h"
#include "plugin/pager/pager-units.h"

bool pager_heed_removals(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    bool attached = pager->attached;
    pthread_mutex_unlock(&pager->lock);
    if (attached) {
        /* Release: what was discarded before is not read after it. */
        atomic_store_explicit(&pager->heeds_removals, true,
                              memory_order_release);
    }
    return attached;
}

/* Drop the block's pages that are wholly in its bytes from begin to end. */
static void drop(Pager *pager, PagerBlock *block, uint64_t begin, uint64_t end)
{
    uint64_t first_page = (begin + block->unit_bytes - 1) / block->unit_bytes;
    uint64_t end_page = end / block->unit_bytes;
    uint64_t n_pages = end_page > first_page ? end_page - first_page : 0;
    uint64_t n_in_file;
    uint64_t n_dropped =
        pager_units_drop(pager, block, first_page, n_pages, &n_in_file);

    if (n_dropped == 0) {
        return;
    }
    load_stats_placed(pager->config.stats, PLACED_NEVER, n_in_file);
    /* A fault that was handled while the page was being dropped counts on
     * it. */
    block->placer.ops->wake(&block->placer,
                            block->host + first_page * block->unit_bytes,
                            n_pages * block->unit_bytes);
    pager_unpark(pager, (size_t)(block - pager->blocks), first_page, n_pages);
    pager_count_placed(pager, n_dropped);
}

void pager_handle_removal(void *opaque, const UffdRemoval *removal)
{
    Pager *pager = opaque;

    for (size_t i = 0; i < pager->n_blocks; i++) {
        PagerBlock *block = &pager->blocks[i];
        uint64_t start = MAX(removal->start, block->host);
        uint64_t end =
            MIN(removal->end, block->host + block->layout->len_bytes);

        if (block->host != 0 && start < end) {
            drop(pager, block, start - block->host, end - block->host);
        }
    }
}
