/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source: madvise(2), "MADV_POPULATE_READ" (Linux 5.14).
 */
#include "plugin/pager/pager-ahead.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "plugin/pager/pager-state.h"

/* In one call, which has the lock of the process's mappings. */
#define MAX_PAGES 512

/* Returns false where the kernel cannot do that at all.  What else fails is the
 * guest's fault to come, as if there were no such thread. */
static bool map_span(const PagerBlock *block, const PageSpan *span)
{
    uint64_t end = page_span_end(span);

    for (uint64_t page = span->first_page; page < end; page += MAX_PAGES) {
        void *start =
            (void *)(uintptr_t)(block->host + page * block->unit_bytes);
        uint64_t n_pages = MIN(end - page, MAX_PAGES);

        if (madvise(start, n_pages * block->unit_bytes, MADV_POPULATE_READ) <
                0 &&
            errno == EINVAL) {
            return false;
        }
    }
    return true;
}

void *pager_ahead_thread(void *opaque)
{
    const Pager *pager = opaque;
    const PageSource *source = pager->config.source;
    PageHot at = {0};
    PageSpan span;
    bool can = true;

    while (can && source->next_hot(source, &at, &span)) {
        const PagerBlock *block = &pager->blocks[span.block];

        can = block->host == 0 || map_span(block, &span);
    }
    return NULL;
}
