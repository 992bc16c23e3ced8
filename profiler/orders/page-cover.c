/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/page-cover.h"

#include <glib.h>

struct PageCover {
    uint64_t *taken; /* a bit for each page */
    uint64_t *full;  /* of word i of taken: so many from it on, at least, have
                        all their bits; 0: it has not.  One more than words */
};

PageCover *page_cover_new(uint64_t n_pages)
{
    PageCover *cover = g_new(PageCover, 1);

    cover->taken = g_new0(uint64_t, n_pages / 64 + 1);
    cover->full = g_new0(uint64_t, n_pages / 64 + 2);
    return cover;
}

void page_cover_free(PageCover *cover)
{
    if (cover) {
        g_free(cover->taken);
        g_free(cover->full);
        g_free(cover);
    }
}

/* The first word from i on that is not full; shortens the way for the next who
 * asks. */
static uint64_t next_word(PageCover *cover, uint64_t i)
{
    while (cover->full[i] != 0) {
        cover->full[i] += cover->full[i + cover->full[i]];
        i += cover->full[i];
    }
    return i;
}

/* The first page from page on that is not taken, or one behind end. */
static uint64_t next_free(PageCover *cover, uint64_t page, uint64_t end)
{
    uint64_t word = ~cover->taken[page / 64] >> (page % 64);

    if (word != 0) {
        return page + (uint64_t)__builtin_ctzll(word);
    }
    uint64_t i = next_word(cover, page / 64 + 1);
    return i * 64 >= end ? end
                         : i * 64 + (uint64_t)__builtin_ctzll(~cover->taken[i]);
}

/* Take the pages from page on up to one that is taken, in one word and before
 * end.  Returns whether that one is at the word's end, and none was met. */
static bool take_in_word(PageCover *cover, uint64_t page, uint64_t end,
                         uint64_t *ret_stop)
{
    uint64_t i = page / 64;
    uint64_t word_end = (i + 1) * 64;
    uint64_t met = cover->taken[i] >> (page % 64);
    uint64_t stop = MIN(word_end, end);

    if (met != 0) {
        stop = MIN(stop, page + (uint64_t)__builtin_ctzll(met));
    }
    uint64_t n = stop - page;
    cover->taken[i] |= (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1)
                       << (page % 64);
    if (cover->taken[i] == UINT64_MAX) {
        cover->full[i] = MAX(cover->full[i], 1);
    }
    *ret_stop = stop;
    return stop == word_end && stop < end;
}

bool page_cover_take(PageCover *cover, uint64_t page, uint64_t end,
                     PageSpan *ret_span)
{
    if (page >= end) {
        return false;
    }
    uint64_t first = next_free(cover, page, end);
    uint64_t stop = first;

    if (first >= end) {
        return false;
    }
    while (take_in_word(cover, stop, end, &stop)) {
    }
    ret_span->first_page = first;
    ret_span->n_pages = stop - first;
    return true;
}
