/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-regroup.h"

#include <sys/mman.h>

#include "plugin/pager/pager-plan.h"
#include "plugin/pager/pager-units.h"
#include "profiler/orders/read-ahead.h"

#define MAX_LAZY_BYTES (UINT64_C(2) << 20)

/* ---- grouping ---- */

static bool is_to_regroup(const PagerBlock *block)
{
    return block->host != 0 && ram_kind_is_hugetlb(block->kind) &&
           block->unit_bytes != block->huge_page.bytes;
}

static bool any_to_regroup(const Pager *pager)
{
    bool any = false;

    for (size_t i = 0; i < pager->n_blocks; i++) {
        any = any || is_to_regroup(&pager->blocks[i]);
    }
    return any;
}

/* Wait until every piece that was begun has been staged.  What is being warmed
 * has nothing to do with blocks. */
static void halt_staging(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->is_regrouping = true;
    while (pager->n_pieces != pager->read.length + pager->n_warming) {
        pthread_cond_wait(&pager->changed, &pager->lock);
    }
    pthread_mutex_unlock(&pager->lock);
}

static void go_on(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->is_regrouping = false;
    pager->plan_is_out = false;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
}

/* From the last to the first, each to be given before what is given already. */
static void forget_staged_locked(Pager *pager)
{
    for (GList *link = pager->read.tail; link;) {
        GList *previous = link->prev;
        Piece *piece = link->data;

        if (is_to_regroup(&pager->blocks[piece->read.span.block])) {
            pager_plan_put_off_locked(pager, &piece->read.span);
            pager->read_bytes -= piece->buf_len_bytes;
            pager->n_pieces--;
            piece_free(piece);
            g_queue_delete_link(&pager->read, link);
        }
        link = previous;
    }
}

/* What is held back is not of one touch any more. */
static void forget_held_locked(Pager *pager)
{
    for (GList *link = pager->held.head; link;) {
        GList *next = link->next;
        Piece *piece = link->data;

        if (is_to_regroup(&pager->blocks[piece->read.span.block])) {
            piece_free(piece);
            g_queue_delete_link(&pager->held, link);
        }
        link = next;
    }
}

/* What was put off is of pages still. */
static void translate_put_off_locked(Pager *pager)
{
    for (GList *link = pager->plan.again.head; link; link = link->next) {
        PageSpan *span = link->data;

        *span = pager_units_of_pages(pager, span);
    }
}

static uint64_t max_lazy_bytes(const Pager *pager)
{
    return pager->config.max_lazy_bytes > 0 ? pager->config.max_lazy_bytes
                                            : MAX_LAZY_BYTES;
}

/* Which units of the block are to be loaded: all, where the kernel has a huge
 * page reserved for each; of a whole block, none.  False: out of memory. */
static bool find_units(const PageSourceBlock *pages, PagerBlock *block)
{
    PageSourceBlock *units = &block->in_units;
    uint64_t *bitmap = g_try_new0(uint64_t, units->n_pages / 64 + 1);

    units->bitmap = bitmap;
    if (!bitmap || block->is_whole) {
        return bitmap != NULL;
    }
    for (uint64_t i = 0; i < units->n_pages; i++) {
        if (block->huge_page.is_reserved ||
            pager_units_in_file(pages, i * block->unit_pages,
                                block->unit_pages) > 0) {
            bitmap[i / 64] |= UINT64_C(1) << (i % 64);
            units->n_pages_in_file++;
        }
    }
    return true;
}

/* Returns false when out of memory; the block is as it was then. */
static bool regroup_block_locked(Pager *pager, PagerBlock *block)
{
    const PageSourceBlock *pages = pager_units_pages_of(pager, block);
    uint64_t unit_bytes = block->huge_page.bytes;
    /* QEMU maps whole huge pages, whatever the block's length. */
    uint64_t n_units = (pages->len_bytes + unit_bytes - 1) / unit_bytes;
    PagerBlock built = *block;

    built.unit_bytes = unit_bytes;
    built.unit_pages = unit_bytes / pages->page_bytes;
    built.is_whole = unit_bytes > max_lazy_bytes(pager);
    built.in_units = (PageSourceBlock){
        .name = pages->name,
        .len_bytes = n_units * unit_bytes,
        .page_bytes = unit_bytes,
        .n_pages = n_units,
    };
    if (!find_units(pages, &built) ||
        !page_states_init(&built.states, built.in_units.bitmap, n_units)) {
        pager_units_clear(&built);
        return false;
    }
    pager_units_clear(block);
    page_states_clear(&block->states);
    *block = built;
    block->layout = &block->in_units;
    parked_remove_block(pager->parked, (size_t)(block - pager->blocks));
    return true;
}

static bool regroup_locked(Pager *pager)
{
    bool ok = true;

    forget_staged_locked(pager);
    forget_held_locked(pager);
    for (size_t i = 0; ok && i < pager->n_blocks; i++) {
        PagerBlock *block = &pager->blocks[i];

        ok = !is_to_regroup(block) || regroup_block_locked(pager, block);
    }
    translate_put_off_locked(pager);
    return ok;
}

/* ---- room for units ---- */

static void free_pieces(GQueue *pieces)
{
    g_queue_clear_full(pieces, (GDestroyNotify)piece_free);
}

/* Those that are warmed into are too small, and freed when that is done.  Some
 * may be no longer warmed into, and not be put back yet (run_warm()). */
static bool renew_pieces_locked(Pager *pager, uint64_t unit_bytes)
{
    guint n_warmed = pager->n_pieces - pager->read.length;
    guint n_pieces = pager->spare.length + n_warmed;
    uint64_t piece_bytes = MAX(READ_AHEAD_PIECE_BYTES, unit_bytes);
    GQueue pieces = G_QUEUE_INIT;

    while (pieces.length < n_pieces) {
        Piece *piece = piece_new(piece_bytes);

        if (!piece) {
            free_pieces(&pieces);
            return false;
        }
        g_queue_push_tail(&pieces, piece);
    }
    free_pieces(&pager->spare);
    pager->spare = pieces;
    pager->piece_bytes = piece_bytes;
    return true;
}

static void *map(uint64_t len_bytes, int protection, int flags)
{
    void *memory = mmap(NULL, len_bytes, protection,
                        MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* Nobody writes to them: they take no memory.  From what is not in the page
 * tables, the kernel copies by way of a second huge page. */
static void *map_zeroes(uint64_t len_bytes)
{
    return map(len_bytes, PROT_READ, MAP_POPULATE);
}

/* No fault thread runs yet, and nobody fetches. */
static bool renew_worker(FaultWorker *worker, uint64_t unit_bytes)
{
    void *buf = map(unit_bytes, PROT_READ | PROT_WRITE, 0);

    if (buf) {
        munmap(worker->buf, worker->buf_len_bytes);
        worker->buf = buf;
        worker->buf_len_bytes = unit_bytes;
    }
    return buf != NULL;
}

static bool make_room_locked(Pager *pager, uint64_t unit_bytes)
{
    bool ok = true;

    if (unit_bytes <= pager->max_unit_bytes) {
        return true;
    }
    for (unsigned i = 0; ok && i < pager_n_workers(pager); i++) {
        ok = renew_worker(&pager->fault_workers[i], unit_bytes);
    }
    void *zeroes = ok ? map_zeroes(unit_bytes) : NULL;
    if (!zeroes || !renew_pieces_locked(pager, unit_bytes)) {
        if (zeroes) {
            munmap(zeroes, unit_bytes);
        }
        return false;
    }
    if (pager->zeroes) {
        munmap(pager->zeroes, pager->max_unit_bytes);
    }
    pager->zeroes = zeroes;
    pager->max_unit_bytes = unit_bytes;
    return true;
}

/* Of those that are loaded lazily. */
static uint64_t largest_unit(const Pager *pager)
{
    uint64_t largest = pager->page_bytes;

    for (size_t i = 0; i < pager->n_blocks; i++) {
        const PagerBlock *block = &pager->blocks[i];

        if (is_to_regroup(block) &&
            block->huge_page.bytes <= max_lazy_bytes(pager)) {
            largest = MAX(largest, block->huge_page.bytes);
        }
    }
    return largest;
}

bool pager_regroup(Pager *pager, GError **error)
{
    if (!any_to_regroup(pager)) {
        return true;
    }
    halt_staging(pager);
    pthread_mutex_lock(&pager->plan.lock);
    pthread_mutex_lock(&pager->lock);
    bool ok =
        make_room_locked(pager, largest_unit(pager)) && regroup_locked(pager);
    pthread_mutex_unlock(&pager->lock);
    pthread_mutex_unlock(&pager->plan.lock);
    go_on(pager);
    if (!ok) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "no memory for loading huge pages; load with --policy "
                    "full");
    }
    return ok;
}
