/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A page is claimed before its chunk is read, so that no other eager thread
 * reads it as well; a guest that touches it meanwhile does not wait for the
 * chunk, since a fault thread reads what is in flight itself.
 */
#include "plugin/pager/pager-pack.h"

#include <string.h>

#include "plugin/pager/pager-place.h"
#include "plugin/pager/pager-placing.h"
#include "plugin/pager/pager-plan.h"
#include "plugin/pager/pager-read.h"
#include "plugin/pager/pager-state.h"
#include "plugin/pager/pager-units.h"
#include "profiler/orders/read-ahead.h"
#include "util/clock.h"

G_STATIC_ASSERT(PACK_CHUNK_BYTES <= READ_AHEAD_PIECE_BYTES);

/* Pages of a chunk that have been claimed: a piece, and where its first page
 * lies in the chunk. */
typedef struct Part {
    Piece *piece;
    uint64_t off_bytes;
} Part;

typedef struct Work {
    Pager *pager;
    const Pack *pack;
    size_t chunk;
    bool attached;
    uint8_t *buf;  /* for the chunk's pages; NULL: no memory for them */
    GArray *parts; /* of Part */
    uint64_t claimed_bytes;
    bool out_of_memory;
} Work;

static uint64_t count_pages(const Piece *piece)
{
    uint64_t n_pages = 0;

    for (size_t i = 0; i < piece->window.n_words; i++) {
        n_pages += (uint64_t)__builtin_popcountll(piece->window.words[i]);
    }
    return n_pages;
}

static uint64_t bytes_of(const Pager *pager, const Piece *piece)
{
    return count_pages(piece) *
           pager->blocks[piece->read.span.block].unit_bytes;
}

/* ---- claiming ---- */

/* Claim what is pending of a span.  Staged pages need a buffer of their own:
 * without memory for it, nothing is claimed. */
static void claim_span(Work *work, const PageSpan *span, uint64_t off_bytes)
{
    PagerBlock *block = &work->pager->blocks[span->block];
    uint64_t len_bytes = span->n_pages * block->unit_bytes;
    Piece *piece = piece_new(work->attached ? 0 : len_bytes);

    work->out_of_memory = piece == NULL;
    if (!piece || !piece_claim(piece, &block->states, span, PLACED_BY_ORDER)) {
        piece_free(piece);
        return;
    }
    const Part part = {
        piece, off_bytes + (piece->read.span.first_page - span->first_page) *
                               block->unit_bytes};
    if (work->attached) {
        piece->read.buf = work->buf + part.off_bytes;
    }
    work->claimed_bytes += bytes_of(work->pager, piece);
    g_array_append_val(work->parts, part);
}

static bool is_loadable(const Work *work, const PagerBlock *block)
{
    return block->unit_pages == 1 &&
           (work->attached ? block->host != 0
                           : block->layout->page_bytes == block->unit_bytes);
}

/* Claim the chunk's pages, in portions that a window can have.  With the plan's
 * lock, under which the chunk was given: so nobody else reads them. */
static void claim_locked(Work *work)
{
    const PackChunk *chunk = pack_chunk(work->pack, work->chunk);
    uint64_t off_bytes = 0;

    for (size_t i = 0; i < chunk->n_spans; i++) {
        const PageSpan *span = pack_span(work->pack, chunk->first_span + i);
        const PagerBlock *block = &work->pager->blocks[span->block];
        uint64_t end = span->first_page + span->n_pages;
        /* Not the block's layout, which may be one of units. */
        uint64_t page_bytes =
            pager_units_pages_of(work->pager, block)->page_bytes;

        for (uint64_t page = span->first_page; page < end;
             page += PAGE_WINDOW_MAX_PAGES) {
            const PageSpan portion = {span->block, page,
                                      MIN(PAGE_WINDOW_MAX_PAGES, end - page)};

            if (is_loadable(work, block) && !work->out_of_memory) {
                claim_span(work, &portion, off_bytes);
            }
            off_bytes += portion.n_pages * page_bytes;
        }
    }
}

/* ---- reading ---- */

static void note_use_locked(Pager *pager)
{
    load_stats_pack_used(pager->config.stats,
                         pager->plan.pack.state == PACK_IN_USE);
}

/* No more of it, and say so once. */
static void leave(Pager *pager, const GError *error)
{
    const PagerCallbacks *callbacks = &pager->config.callbacks;

    pthread_mutex_lock(&pager->plan.lock);
    bool is_news = pack_plan_leave(&pager->plan.pack);
    note_use_locked(pager);
    pthread_mutex_unlock(&pager->plan.lock);
    if (is_news && callbacks->pack_failed) {
        callbacks->pack_failed(callbacks->opaque, error->message);
    }
}

static void note_chunk(Pager *pager, uint64_t pages_bytes, uint64_t us)
{
    pthread_mutex_lock(&pager->plan.lock);
    pack_plan_note_chunk(&pager->plan.pack, pages_bytes, us);
    note_use_locked(pager);
    pthread_mutex_unlock(&pager->plan.lock);
}

static bool read_chunk(const Work *work, ReadSlot *slot)
{
    Pager *pager = work->pager;
    const Piece *first = g_array_index(work->parts, Part, 0).piece;
    uint64_t begin_us = monotonic_us();
    g_autoptr(GError) error = NULL;

    read_slot_begin(slot, &first->read.span);
    bool ok = pack_read_chunk(work->pack, work->chunk, work->buf, &error);
    read_slot_end(slot);
    load_stats_read(pager->config.stats,
                    pack_chunk(work->pack, work->chunk)->len_bytes);
    if (ok) {
        note_chunk(pager, work->claimed_bytes, monotonic_us() - begin_us);
    } else {
        leave(pager, error);
    }
    return ok;
}

/* ---- placing ---- */

static void hand_over(Pager *pager, Piece *piece)
{
    pthread_mutex_lock(&pager->lock);
    pager->n_pieces++;
    pthread_mutex_unlock(&pager->lock);
    pager_hand_over(pager, piece);
}

static void finish_part(const Work *work, const Part *part, bool unpacked,
                        ReadSlot *slot)
{
    Pager *pager = work->pager;
    Piece *piece = part->piece;
    const PagerBlock *block = &pager->blocks[piece->read.span.block];
    bool is_read = unpacked || pager_read_ahead(pager, piece, slot);

    piece->is_packed = unpacked;
    if (unpacked && !work->attached) {
        memcpy(piece->read.buf, work->buf + part->off_bytes,
               piece->read.span.n_pages * block->unit_bytes);
    }
    if (is_read && !work->attached) {
        hand_over(pager, piece);
        return;
    }
    if (is_read) {
        pager_place(pager, piece);
    }
    piece_free(piece);
}

/* What is staged already must do. */
static void stage_no_more(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->config.max_staged_bytes = 0;
    pthread_mutex_unlock(&pager->lock);
}

static void load_parts(Work *work, ReadSlot *slot)
{
    bool unpacked = work->buf && read_chunk(work, slot);

    for (guint i = 0; i < work->parts->len; i++) {
        finish_part(work, &g_array_index(work->parts, Part, i), unpacked, slot);
    }
}

/* Staged pages are unpacked in a room of their own. */
static void load_staged_parts(Work *work, ReadSlot *slot)
{
    Piece *room = piece_new(PACK_CHUNK_BYTES);

    if (!room || work->out_of_memory) {
        stage_no_more(work->pager);
    }
    work->buf = room ? room->read.buf : NULL;
    load_parts(work, slot);
    piece_free(room);
}

static bool next_chunk(Work *work)
{
    Pager *pager = work->pager;

    pthread_mutex_lock(&pager->plan.lock);
    pager_plan_steer_locked(pager);
    bool has_chunk = pack_plan_next(&pager->plan.pack, &work->chunk);
    if (has_chunk) {
        claim_locked(work);
    }
    pthread_mutex_unlock(&pager->plan.lock);
    return has_chunk;
}

bool pager_pack_run(Pager *pager, Piece *piece, ReadSlot *slot)
{
    if (!pager->config.pack) {
        return false;
    }
    Work work = {
        .pager = pager,
        .pack = pager->config.pack,
        .attached = piece != NULL,
        .buf = piece ? piece->read.buf : NULL,
        .parts = g_array_new(FALSE, FALSE, sizeof(Part)),
    };
    bool has_chunk = next_chunk(&work);

    if (has_chunk && work.parts->len == 0) {
        note_chunk(pager, 0, 0);
    } else if (has_chunk && work.attached) {
        load_parts(&work, slot);
    } else if (has_chunk) {
        load_staged_parts(&work, slot);
    }
    if (has_chunk) {
        pager_put_piece(pager, piece);
    }
    g_array_unref(work.parts);
    return has_chunk;
}

/* ---- what the snapshot takes ---- */

uint64_t pager_pack_begin_read(const Pager *pager)
{
    return pager->config.pack ? monotonic_us() : 0;
}

void pager_pack_end_read(Pager *pager, const Piece *piece, uint64_t begin_us)
{
    if (!pager->config.pack || piece->why != PLACED_BY_ORDER) {
        return;
    }
    uint64_t us = monotonic_us() - begin_us;
    pthread_mutex_lock(&pager->plan.lock);
    pack_plan_note_snapshot(&pager->plan.pack, bytes_of(pager, piece), us);
    note_use_locked(pager);
    pthread_mutex_unlock(&pager->plan.lock);
}
