/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages of one RAM block, next to each other: what an order lists, what is
 * read in one piece, what an operation keeps or drops.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct PageSpan {
    size_t block; /* index into whatever list of blocks is meant */
    uint64_t first_page;
    uint64_t n_pages;
} PageSpan;

/* The first page behind it; UINT64_MAX where that is beyond 64 bits, as in a
 * file that has not been checked. */
static inline uint64_t page_span_end(const PageSpan *span)
{
    uint64_t end_page;

    return __builtin_add_overflow(span->first_page, span->n_pages, &end_page)
               ? UINT64_MAX
               : end_page;
}

/* Whether next begins where span ends. */
static inline bool page_span_meets(const PageSpan *span, const PageSpan *next)
{
    return span->block == next->block &&
           page_span_end(span) == next->first_page;
}

/* Leave only pages of a block of n_pages; false if none is left. */
static inline bool page_span_clip(PageSpan *span, uint64_t n_pages)
{
    if (span->n_pages == 0 || span->first_page >= n_pages) {
        return false;
    }
    if (span->n_pages > n_pages - span->first_page) {
        span->n_pages = n_pages - span->first_page;
    }
    return true;
}
