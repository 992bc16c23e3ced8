/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-units.h"

#include <string.h>
#include <sys/mman.h>

#include "plugin/pager/pager-fail.h"
#include "plugin/pager/pager-plan.h"
#include "profiler/orders/read-ahead.h"

#define MAX_LAZY_BYTES (UINT64_C(2) << 20)

static const PageSourceBlock *pages_of(const Pager *pager,
                                       const PagerBlock *block)
{
    return &pager->config.source->blocks[block - pager->blocks];
}

static bool has_units(const PagerBlock *block)
{
    return block->unit_pages > 1;
}

/* ---- units and pages ---- */

PageSpan pager_units_of_pages(const Pager *pager, const PageSpan *span)
{
    uint64_t unit_pages = pager->blocks[span->block].unit_pages;
    uint64_t first = span->first_page / unit_pages;
    uint64_t last = (span->first_page + span->n_pages - 1) / unit_pages;

    return (PageSpan){span->block, first, last - first + 1};
}

PageSpan pager_units_to_pages(const Pager *pager, const PageSpan *span)
{
    const PagerBlock *block = &pager->blocks[span->block];
    uint64_t n_pages = pages_of(pager, block)->n_pages;
    uint64_t first = span->first_page * block->unit_pages;

    return (PageSpan){span->block, first,
                      MIN(span->n_pages * block->unit_pages, n_pages - first)};
}

PageRead pager_units_read_of(const Pager *pager, const PageRead *units)
{
    PageRead read = *units;

    read.span = pager_units_to_pages(pager, &units->span);
    return read;
}

/* Of the buffer for all pages of read, those that the source does not have, and
 * what is behind the last one. */
static void fill_holes(const PageSourceBlock *layout, const PageRead *pages,
                       uint64_t len_bytes)
{
    uint8_t *buf = pages->buf;
    uint64_t end_bytes = pages->span.n_pages * layout->page_bytes;

    for (uint64_t i = 0; i < pages->span.n_pages; i++) {
        if (!page_source_block_has_page(layout, pages->span.first_page + i)) {
            memset(buf + i * layout->page_bytes, 0, layout->page_bytes);
        }
    }
    memset(buf + end_bytes, 0, len_bytes - end_bytes);
}

void pager_units_fill_holes(const Pager *pager, const PageRead *read)
{
    const PagerBlock *block = &pager->blocks[read->span.block];

    if (has_units(block)) {
        const PageRead pages = pager_units_read_of(pager, read);

        fill_holes(pages_of(pager, block), &pages,
                   read->span.n_pages * block->unit_bytes);
    }
}

/* Of the unit's pages. */
static uint64_t count_in_file(const PageSourceBlock *layout,
                              uint64_t unit_pages, uint64_t unit)
{
    uint64_t end = MIN((unit + 1) * unit_pages, layout->n_pages);
    uint64_t n = 0;

    for (uint64_t page = unit * unit_pages; page < end; page++) {
        n += page_source_block_has_page(layout, page);
    }
    return n;
}

uint64_t pager_units_count_pages(const Pager *pager, const PagerBlock *block,
                                 const PageWindow *window)
{
    uint64_t unit = 0;
    uint64_t n_units;
    uint64_t n = 0;

    while (page_window_next_run(window, &unit, &n_units)) {
        if (!has_units(block)) {
            n += n_units;
            unit += n_units;
        }
        for (; has_units(block) && n_units > 0; n_units--) {
            n += count_in_file(pages_of(pager, block), block->unit_pages,
                               unit++);
        }
    }
    return n;
}

uint64_t pager_units_drop(const Pager *pager, PagerBlock *block,
                          uint64_t first_unit, uint64_t n_units,
                          uint64_t *ret_in_file)
{
    uint64_t n_dropped = 0;

    *ret_in_file = 0;
    if (!has_units(block)) {
        return *ret_in_file =
                   page_states_drop(&block->states, first_unit, n_units);
    }
    for (uint64_t i = 0; i < n_units; i++) {
        if (page_states_drop(&block->states, first_unit + i, 1) > 0) {
            n_dropped++;
            *ret_in_file += count_in_file(pages_of(pager, block),
                                          block->unit_pages, first_unit + i);
        }
    }
    return n_dropped;
}

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

/* Wait until every piece that was begun has been staged. */
static void halt_staging(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->is_regrouping = true;
    while (pager->n_pieces != pager->read.length) {
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
            count_in_file(pages, block->unit_pages, i) > 0) {
            bitmap[i / 64] |= UINT64_C(1) << (i % 64);
            units->n_pages_in_file++;
        }
    }
    return true;
}

/* Returns false when out of memory; the block is as it was then. */
static bool regroup_block_locked(Pager *pager, PagerBlock *block)
{
    const PageSourceBlock *pages = pages_of(pager, block);
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

void pager_units_clear(PagerBlock *block)
{
    g_free((void *)block->in_units.bitmap);
    block->in_units.bitmap = NULL;
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

static bool renew_pieces_locked(Pager *pager, uint64_t unit_bytes)
{
    uint64_t piece_bytes = MAX(READ_AHEAD_PIECE_BYTES, unit_bytes);
    GQueue pieces = G_QUEUE_INIT;

    while (pieces.length < pager->spare.length) {
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

bool pager_units_regroup(Pager *pager, GError **error)
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

/* ---- whole blocks ---- */

static bool fail_whole(const Pager *pager, const PagerBlock *block,
                       const char *what, uint64_t page, int rc, GError **error)
{
    PageSource *source = pager->config.source;
    PagePlace place;

    source->describe(source, (size_t)(block - pager->blocks), page, &place);
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                "RAM block %s: %s failed at offset %" G_GUINT64_FORMAT
                " of %s: %s; guest RAM is lost: start QEMU again",
                block->layout->name, what, place.off_bytes, place.path,
                g_strerror(-rc));
    return false;
}

/* Straight to where they belong: the n pages from page on. */
static int read_to(Pager *pager, const PagerBlock *block, uint64_t page,
                   uint64_t n_pages)
{
    const PageSourceBlock *layout = pages_of(pager, block);
    PageSource *source = pager->config.source;
    uint64_t len_bytes = n_pages * layout->page_bytes;
    PageRead read = {
        .span = {(size_t)(block - pager->blocks), page, n_pages},
        .buf = (void *)(uintptr_t)(block->host + page * layout->page_bytes),
        .once = true,
    };
    int rc = page_source_peek(source, &read);

    load_stats_read(pager->config.stats, read.bytes_read);
    if (rc == 0) {
        fill_holes(layout, &read, len_bytes);
    }
    return rc;
}

/* Load a unit of a whole block, the pages from first to end. */
static bool load_unit(Pager *pager, const PagerBlock *block, uint64_t first,
                      uint64_t end, GError **error)
{
    const PageSourceBlock *layout = pages_of(pager, block);
    uint64_t step = READ_AHEAD_PIECE_BYTES / layout->page_bytes;
    /* Without it there would be a signal where there is no huge page. */
    int rc = ram_range_populate(block->host + first * layout->page_bytes,
                                block->unit_bytes);

    if (rc < 0) {
        return fail_whole(pager, block, "getting a reserved huge page", first,
                          rc, error);
    }
    for (uint64_t page = first; page < end; page += step) {
        uint64_t n_pages = MIN(step, end - page);
        uint64_t n_in_file = count_in_file(layout, step, page / step);

        rc = n_in_file > 0 ? read_to(pager, block, page, n_pages) : 0;
        if (rc < 0) {
            return fail_whole(pager, block, "reading", page, rc, error);
        }
        load_stats_placed(pager->config.stats, PLACED_BY_REST, n_in_file);
    }
    return true;
}

static bool load_block(Pager *pager, const PagerBlock *block, GError **error)
{
    const PageSourceBlock *layout = pages_of(pager, block);
    uint64_t step = block->unit_pages;
    bool ok = true;

    for (uint64_t page = 0; ok && page < layout->n_pages; page += step) {
        bool is_wanted = block->huge_page.is_reserved ||
                         count_in_file(layout, step, page / step) > 0;

        ok = !is_wanted || load_unit(pager, block, page,
                                     MIN(page + step, layout->n_pages), error);
    }
    return ok;
}

bool pager_units_load_whole(Pager *pager, GError **error)
{
    bool ok = true;

    for (size_t i = 0; ok && i < pager->n_attached_blocks; i++) {
        const PagerBlock *block = pager->attached_blocks[i];

        ok = !block->is_whole || load_block(pager, block, error);
    }
    return ok;
}
