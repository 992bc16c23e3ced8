/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/piece.h"

#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

Piece *piece_new(uint64_t buf_len_bytes)
{
    void *buf = NULL;

    if (buf_len_bytes > 0) {
        buf = mmap(NULL, buf_len_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (buf == MAP_FAILED) {
            return NULL;
        }
    }
    Piece *piece = g_new0(Piece, 1);
    piece->read.buf = piece->own_buf = buf;
    piece->buf_len_bytes = buf_len_bytes;
    return piece;
}

static void free_huge(Piece *piece)
{
    if (piece->huge_map) {
        munmap(piece->huge_map, 2 * piece->huge_bytes);
        piece->huge_map = NULL;
    }
}

void piece_free(Piece *piece)
{
    if (piece) {
        free_huge(piece);
        if (piece->own_buf) {
            munmap(piece->own_buf, piece->buf_len_bytes);
        }
        g_free(piece);
    }
}

/* Mapped afresh: once its pages were moved away one by one, the kernel fills
 * memory with small pages for good. */
void piece_renew_huge(Piece *piece, uint64_t huge_bytes)
{
    free_huge(piece);
    void *map = mmap(NULL, 2 * huge_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return;
    }
    piece->is_spent = false;
    piece->huge_map = map;
    piece->huge_buf = (uint8_t *)map + huge_bytes - (uintptr_t)map % huge_bytes;
    piece->huge_bytes = huge_bytes;
    /* A courtesy: small pages can be moved as well. */
    (void)madvise(piece->huge_buf, huge_bytes, MADV_HUGEPAGE);
    /* What a child process has too cannot be moved, and will be copied. */
    (void)madvise(piece->huge_buf, huge_bytes, MADV_DONTFORK);
}

/* By touching it: MADV_POPULATE_WRITE would hold a lock meanwhile that faults
 * may need. */
static void fill_huge(const Piece *piece)
{
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);

    for (uint64_t at = 0; at < piece->huge_bytes; at += page_bytes) {
        *(volatile uint8_t *)(piece->huge_buf + at) = 0;
    }
}

void piece_leave_huge(Piece *piece)
{
    if (piece->is_huge) {
        piece->is_huge = false;
        piece->read.buf = piece->own_buf;
    }
}

bool piece_claim(Piece *piece, PageStates *states, const PageSpan *span,
                 PlacedBy why)
{
    PageSpan *claimed = &piece->read.span;

    if (page_states_claim(states, span->first_page, span->n_pages,
                          &piece->window) == 0) {
        return false;
    }
    claimed->block = span->block;
    piece->read.once = why == PLACED_BY_REST;
    page_window_bounds(&piece->window, &claimed->first_page, &claimed->n_pages);
    piece->why = why;
    /* It may have been one page before. */
    piece->waited_for = piece->is_retry = piece->is_zero = false;
    piece->is_packed = false;
    return true;
}

bool piece_claim_huge(Piece *piece, PageStates *states, const PageSpan *span,
                      PlacedBy why)
{
    /* A direct read into memory that is not there yet takes several times as
     * long; and what is claimed is not to wait for that. */
    fill_huge(piece);
    bool any = piece_claim(piece, states, span, why);

    piece->read.span = *span;
    piece->read.buf = piece->huge_buf;
    piece->is_huge = true;
    return any;
}

void piece_set_page(Piece *piece, size_t block, uint64_t page, PlacedBy why)
{
    piece->read.span = (PageSpan){block, page, 1};
    page_window_set_one(&piece->window, page);
    piece->read.once = false;
    piece->why = why;
    piece->waited_for = piece->is_retry = piece->is_zero = false;
    piece->is_packed = false;
}

void piece_take_over(Piece *piece, Piece *claimed)
{
    Piece own = *piece;

    *piece = *claimed;
    piece->read.buf = piece->own_buf = own.own_buf;
    piece->buf_len_bytes = own.buf_len_bytes;
    piece->huge_map = own.huge_map;
    piece->huge_buf = own.huge_buf;
    piece->huge_bytes = own.huge_bytes;
    piece_free(claimed);
}
