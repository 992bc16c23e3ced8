/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading pages and placing them.  A page that cannot be read or placed is
 * never counted as placed: its thread stays here until it can.
 */
#include "plugin/pager/pager-place.h"

#include "plugin/pager/pager-state.h"
#include "util/clock.h"

/* A failure is tried again after 10, 20, 40, 80 and 160 ms before anybody is
 * told. */
#define MAX_QUICK_TRIES 5
#define FIRST_PAUSE_US  UINT64_C(10000)

static bool pause_locked(Pager *pager, uint64_t pause_us)
{
    uint64_t until_us = monotonic_us() + pause_us;

    while (!pager->quit && monotonic_us() < until_us) {
        clock_cond_wait_until(&pager->changed, &pager->lock, until_us);
    }
    return !pager->quit;
}

static void report(Pager *pager, const char *what, size_t block, uint64_t page,
                   int error)
{
    PagePlace place;

    pager->config.source->describe(pager->config.source, block, page, &place);
    const PagerFailure failure = {
        .path = place.path,
        .off_bytes = place.off_bytes,
        .what = what,
        .error = error,
    };

    if (pager->config.callbacks.failed) {
        pager->config.callbacks.failed(pager->config.callbacks.opaque,
                                       &failure);
    }
}

/* After the (*tries)th failure in a row: wait until it is worth another try.
 * Returns false when the pager ends. */
static bool await_next_try(Pager *pager, const char *what, size_t block,
                           uint64_t page, int error, unsigned *tries)
{
    pthread_mutex_lock(&pager->lock);
    if (*tries < MAX_QUICK_TRIES) {
        bool go_on = pause_locked(pager, FIRST_PAUSE_US << *tries);

        (*tries)++;
        pthread_mutex_unlock(&pager->lock);
        return go_on;
    }
    bool first = !pager->failed;
    uint64_t retries = pager->retries;
    pager->failed = true;
    pthread_cond_broadcast(&pager->changed);
    if (first) {
        pthread_mutex_unlock(&pager->lock);
        report(pager, what, block, page, error);
        pthread_mutex_lock(&pager->lock);
    }
    while (!pager->quit && pager->retries == retries) {
        pthread_cond_wait(&pager->changed, &pager->lock);
    }
    *tries = 0;
    bool go_on = !pager->quit;
    pthread_mutex_unlock(&pager->lock);
    return go_on;
}

/* Count what was read, or wait until it is worth another try.  Returns false
 * when the pager ends; *ret_done: the piece is read. */
static bool after_read(Pager *pager, const Piece *piece, int rc,
                       unsigned *tries, bool *ret_done)
{
    const PageSpan *span = &piece->read.span;

    load_stats_read(pager->config.stats, piece->read.bytes_read);
    *ret_done = rc == 0;
    return rc == 0 || await_next_try(pager, "reading", span->block,
                                     span->first_page, -rc, tries);
}

bool pager_read(Pager *pager, Piece *piece)
{
    PageSource *source = pager->config.source;
    unsigned tries = 0;
    bool done = false;
    bool go_on = true;

    while (go_on && !done) {
        int rc = source->read(source, &piece->read);

        go_on = after_read(pager, piece, rc, &tries, &done);
    }
    return done;
}

bool pager_read_ahead(Pager *pager, Piece *piece)
{
    PageSource *source = pager->config.source;
    unsigned tries = 0;
    bool done = false;
    bool go_on = true;

    while (go_on && !done) {
        page_source_submit(source, &piece->read);
        int rc = page_source_complete(source, &piece->read);

        go_on = after_read(pager, piece, rc, &tries, &done);
    }
    return done;
}

static bool place_run(Pager *pager, const Piece *piece, uint64_t page,
                      uint64_t n_pages)
{
    const PageSpan *span = &piece->read.span;
    const PagerBlock *block = &pager->blocks[span->block];
    const Placer *placer = &block->placer;
    const uint8_t *src = (const uint8_t *)piece->read.buf +
                         (page - span->first_page) * block->unit_bytes;
    uint64_t at = page * block->unit_bytes;
    uint64_t len = n_pages * block->unit_bytes;
    unsigned tries = 0;

    while (len > 0) {
        uint64_t done;
        int rc = placer->ops->place(placer, block->host + at, src, len, &done);

        at += done;
        src += done;
        len -= done;
        if (rc < 0 && !await_next_try(pager, "placing", span->block,
                                      at / block->unit_bytes, -rc, &tries)) {
            return false;
        }
    }
    return true;
}

void pager_count_placed(Pager *pager, uint64_t n_pages)
{
    /* Release: the thread that finishes sees all that was placed. */
    uint64_t before = atomic_fetch_sub_explicit(&pager->n_unplaced, n_pages,
                                                memory_order_acq_rel);

    if (before == n_pages) {
        pthread_mutex_lock(&pager->lock);
        pthread_cond_broadcast(&pager->changed);
        pthread_mutex_unlock(&pager->lock);
    }
}

bool pager_place(Pager *pager, Piece *piece)
{
    PagerBlock *block = &pager->blocks[piece->read.span.block];
    size_t n_pages = page_states_take(&block->states, &piece->window);
    uint64_t page = 0;
    uint64_t run_pages = 0;
    uint64_t wake_from = UINT64_MAX;

    if (n_pages == 0) {
        return true;
    }
    for (; page_window_next_run(&piece->window, &page, &run_pages);
         page += run_pages) {
        if (!place_run(pager, piece, page, run_pages)) {
            return false;
        }
        wake_from = MIN(wake_from, page);
    }
    page_states_set_placed(&block->states, &piece->window);
    load_stats_placed(pager->config.stats, piece->why, n_pages);
    /* Only now: a fault handled while the page was being placed counts on
     * it. */
    block->placer.ops->wake(&block->placer,
                            block->host + wake_from * block->unit_bytes,
                            (page - wake_from) * block->unit_bytes);
    pager_count_placed(pager, n_pages);
    return true;
}

void pager_place_zero(Pager *pager, size_t block, uint64_t page)
{
    const PagerBlock *it = &pager->blocks[block];
    uint64_t address = it->host + page * it->unit_bytes;
    unsigned tries = 0;
    int rc;

    while ((rc = it->placer.ops->zero(&it->placer, address)) < 0 &&
           await_next_try(pager, "placing", block, page, -rc, &tries)) {
    }
}
