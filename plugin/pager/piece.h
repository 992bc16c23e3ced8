/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A piece: pages of one block that are on their way into guest memory.
 *
 *   claimed   its window has the pages that it has claimed (page-states.h);
 *             read.span covers them
 *   read      the buffer has the contents of all pages of read.span
 *   placed    the window has those that it has placed
 *
 * One thread has a piece at a time, or a queue has it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plugin/pager/load-stats.h"
#include "plugin/pager/page-source.h"
#include "plugin/pager/page-states.h"

typedef struct Piece {
    PageRead read;
    PageWindow window;
    PlacedBy why;
    bool waited_for; /* by whoever has touched its one page */
    bool is_retry;   /* its one page was taken from the parked ones */
    bool is_zero;    /* its one page is to be placed as zeroes */
    bool is_packed;  /* its contents come from the pack */
    void *own_buf;   /* NULL: read.buf is not the piece's own */
    uint64_t buf_len_bytes;
    void *huge_map;      /* NULL, or what has a buffer for a huge page: */
    uint8_t *huge_buf;   /* aligned to … */
    uint64_t huge_bytes; /* … its length */
    bool is_huge;        /* read.buf is huge_buf */
    bool is_spent;       /* pages of huge_buf were moved away */
} Piece;

/* A piece that has claimed nothing yet, with a buffer of its own; 0: without
 * one.  Returns NULL when out of memory. */
Piece *piece_new(uint64_t buf_len_bytes);

/* NULL is fine. */
void piece_free(Piece *piece);

/* Claim what is pending of span; read.span becomes what is from the first to
 * the last page claimed.  Returns false when nothing was. */
bool piece_claim(Piece *piece, PageStates *states, const PageSpan *span,
                 PlacedBy why);

/* Give it a second buffer, of huge_bytes and aligned to as many, of memory that
 * can be moved to where it belongs (placer.h), in a huge page if there is one;
 * instead of the one that it has, if any.  It has none when out of memory.
 * Takes locks that a fault may need: not for a thread of low priority. */
void piece_renew_huge(Piece *piece, uint64_t huge_bytes);

/* The same as piece_claim() for a whole huge page, all of which is read into
 * that buffer. */
bool piece_claim_huge(Piece *piece, PageStates *states, const PageSpan *span,
                      PlacedBy why);

/* Go back to its own buffer. */
void piece_leave_huge(Piece *piece);

/* Make it a piece of one page, which the caller has claimed, or which is in
 * flight elsewhere. */
void piece_set_page(Piece *piece, size_t block, uint64_t page, PlacedBy why);

/* Take over what claimed, a piece without a buffer, has claimed; frees
 * that. */
void piece_take_over(Piece *piece, Piece *claimed);
