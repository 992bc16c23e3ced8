/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-read.h"

#include <errno.h>

#include "plugin/pager/pager-fail.h"
#include "plugin/pager/pager-plan.h"
#include "plugin/pager/pager-state.h"
#include "plugin/pager/pager-units.h"
#include "profiler/orders/read-ahead.h"

/* Nothing is read any more once the snapshot was changed: it would be another
 * snapshot's. */
static bool is_void(const Pager *pager)
{
    /* Relaxed: nothing else is published by it. */
    return atomic_load_explicit(&pager->is_void, memory_order_relaxed);
}

int pager_read(Pager *pager, Piece *piece, ReadSlot *slot)
{
    PageSource *source = pager->config.source;
    PageRead read = pager_units_read_of(pager, &piece->read);

    if (is_void(pager)) {
        return -ESTALE;
    }
    read_slot_begin(slot, &read.span);
    int rc = source->read(source, &read);
    read_slot_end(slot);
    load_stats_read(pager->config.stats, read.bytes_read);
    if (rc == 0) {
        pager_units_fill_holes(pager, &piece->read);
    }
    return rc;
}

static int read_in_two_steps(Pager *pager, Piece *piece, ReadSlot *slot)
{
    PageSource *source = pager->config.source;
    PageRead read = pager_units_read_of(pager, &piece->read);

    if (is_void(pager)) {
        return -ESTALE;
    }
    read_slot_begin(slot, &read.span);
    page_source_submit(source, &read);
    int rc = page_source_complete(source, &read);
    read_slot_end(slot);
    load_stats_read(pager->config.stats, read.bytes_read);
    if (rc == 0) {
        pager_units_fill_holes(pager, &piece->read);
    }
    return rc;
}

/* The first page of the piece's in [first, end), and one behind the last;
 * false: it has none there. */
static bool trim(const Piece *piece, uint64_t *first, uint64_t *end)
{
    while (*first < *end && !page_window_has(&piece->window, *first)) {
        ++*first;
    }
    while (*first < *end && !page_window_has(&piece->window, *end - 1)) {
        --*end;
    }
    return *first < *end;
}

/* Read the piece's pages [first, end) to where they belong in its buffer. */
static int read_part(Pager *pager, Piece *piece, ReadSlot *slot, uint64_t first,
                     uint64_t end)
{
    const PageSpan whole = piece->read.span;
    uint8_t *buf = piece->read.buf;
    uint64_t unit_bytes = pager->blocks[whole.block].unit_bytes;

    piece->read.span = (PageSpan){whole.block, first, end - first};
    piece->read.buf = buf + (first - whole.first_page) * unit_bytes;
    int rc = read_in_two_steps(pager, piece, slot);
    piece->read.span = whole;
    piece->read.buf = buf;
    return rc;
}

/* Read what can be read of the piece's pages in [first, end), all of which
 * together could not.  Halves, and halves of those that fail: one bad page
 * costs some sixteen reads, and no page but that one is given up. */
static void read_parts(Pager *pager, Piece *piece, ReadSlot *slot,
                       uint64_t first, uint64_t end, int rc)
{
    if (end - first == 1) {
        page_window_remove(&piece->window, first);
        pager_park(pager, piece, first, "reading", -rc);
        return;
    }
    uint64_t middle = first + (end - first) / 2;
    uint64_t halves[2][2] = {{first, middle}, {middle, end}};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t from = halves[i][0];
        uint64_t to = halves[i][1];

        if (!trim(piece, &from, &to)) {
            continue;
        }
        rc = read_part(pager, piece, slot, from, to);
        if (rc < 0) {
            read_parts(pager, piece, slot, from, to, rc);
        }
    }
}

/* How many pages to read at once of n_left: all; but while the guest waits for
 * faults, the storage is not to be busy with a large read when the next one
 * comes. */
static uint64_t slice_pages(const Pager *pager, const Piece *piece,
                            uint64_t n_left)
{
    uint64_t n_bytes = pager_plan_piece_bytes(pager);
    uint64_t unit_bytes = pager->blocks[piece->read.span.block].unit_bytes;

    return n_bytes == READ_AHEAD_PIECE_BYTES
               ? n_left
               : MIN(n_left, MAX(n_bytes / unit_bytes, 1));
}

bool pager_read_ahead(Pager *pager, Piece *piece, ReadSlot *slot)
{
    const PageSpan span = piece->read.span;
    uint64_t first = span.first_page;
    uint64_t end = first + span.n_pages;

    while (trim(piece, &first, &end)) {
        uint64_t stop = first + slice_pages(pager, piece, end - first);
        int rc = read_part(pager, piece, slot, first, stop);

        if (rc < 0) {
            read_parts(pager, piece, slot, first, stop, rc);
        }
        first = stop;
    }
    first = span.first_page;
    end = first + span.n_pages;
    return trim(piece, &first, &end);
}
