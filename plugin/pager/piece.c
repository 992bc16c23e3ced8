/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/piece.h"

#include <sys/mman.h>

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
    piece->read.buf = buf;
    piece->buf_len_bytes = buf_len_bytes;
    return piece;
}

void piece_free(Piece *piece)
{
    if (piece) {
        if (piece->buf_len_bytes > 0) {
            munmap(piece->read.buf, piece->buf_len_bytes);
        }
        g_free(piece);
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
    page_window_bounds(&piece->window, &claimed->first_page, &claimed->n_pages);
    piece->why = why;
    return true;
}

void piece_set_page(Piece *piece, size_t block, uint64_t page, PlacedBy why)
{
    piece->read.span = (PageSpan){block, page, 1};
    page_window_set_one(&piece->window, page);
    piece->why = why;
    piece->waited_for = piece->is_retry = piece->is_zero = false;
}

void piece_take_over(Piece *piece, Piece *claimed)
{
    void *buf = piece->read.buf;
    uint64_t buf_len_bytes = piece->buf_len_bytes;

    *piece = *claimed;
    piece->read.buf = buf;
    piece->buf_len_bytes = buf_len_bytes;
    piece_free(claimed);
}
