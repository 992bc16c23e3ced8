/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which of a block's pages are taken already.  Stretches may be asked for in
 * any sequence and all over each other: together they cost what the block's
 * bitmap costs, and little for each.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "formats/page-span.h"

typedef struct PageCover PageCover;

/* Of a block of n_pages; none is taken. */
PageCover *page_cover_new(uint64_t n_pages);

/* NULL is fine. */
void page_cover_free(PageCover *cover);

/* Take the first pages from page on, and before end, that are not taken, as
 * many as lie in a row: *ret_span has them; its block stays what it is.
 * Returns false if all are taken. */
bool page_cover_take(PageCover *cover, uint64_t page, uint64_t end,
                     PageSpan *ret_span);
