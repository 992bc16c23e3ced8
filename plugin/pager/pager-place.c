/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading pages and placing them.  A page that cannot be read or placed is
 * never counted as placed: its thread stays here until it can.
 */
#include "plugin/pager/pager-internal.h"
#include "util/clock.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

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
    const RamImageBlock *layout = pager->blocks[block].layout;
    const PagerFailure failure = {
        .path = pager->config.snapshot->path,
        .off_bytes = layout->pages_off_bytes + page * layout->page_bytes,
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

bool pager_read(Pager *pager, size_t block, uint64_t first_page,
                uint64_t n_pages, void *buf)
{
    PageSource *source = pager->config.source;
    unsigned tries = 0;

    for (;;) {
        uint64_t bytes_read = 0;
        int rc =
            source->read(source, block, first_page, n_pages, buf, &bytes_read);

        load_stats_read(pager->config.stats, bytes_read);
        if (rc == 0) {
            return true;
        }
        if (!await_next_try(pager, "reading", block, first_page, -rc, &tries)) {
            return false;
        }
    }
}

/* Copy a run of pages that we took the right to place.
 *
 * -ENOENT: the memory is not registered there.  For a run of several pages
 * this may mean that it crosses from one mapping into the next, so that the
 * pages go one by one; for a single page, that its memory was unplugged while
 * it was loading, and nobody needs the page any more.
 * UFFD_EXISTS: something that is not us has filled the page, which could only
 * be wrong; that is a failure. */
static int copy_run(Pager *pager, uint64_t dst, const uint8_t *src,
                    uint64_t len, uint64_t *ret_done)
{
    uint64_t piece = len;

    *ret_done = 0;
    while (*ret_done < len) {
        uint64_t done = 0;
        int rc = uffd_copy(pager->uffd, dst + *ret_done, src + *ret_done,
                           MIN(piece, len - *ret_done), &done);

        *ret_done += done;
        if (rc == UFFD_AGAIN) {
            sched_yield();
        } else if (rc == -ENOENT && piece > pager->page_bytes) {
            piece = pager->page_bytes;
        } else if (rc == -ENOENT) {
            *ret_done += pager->page_bytes;
        } else if (rc != 0) {
            return rc == UFFD_EXISTS ? -EEXIST : rc;
        }
    }
    return 0;
}

static bool place_run(Pager *pager, size_t block, uint64_t page,
                      uint64_t n_pages, const uint8_t *src)
{
    uint64_t host = pager->blocks[block].host;
    uint64_t at = page * pager->page_bytes;
    uint64_t len = n_pages * pager->page_bytes;
    unsigned tries = 0;

    while (len > 0) {
        uint64_t done;
        int rc = copy_run(pager, host + at, src, len, &done);

        at += done;
        src += done;
        len -= done;
        if (rc < 0 && !await_next_try(pager, "placing", block,
                                      at / pager->page_bytes, -rc, &tries)) {
            return false;
        }
    }
    return true;
}

static void count_placed(Pager *pager, uint64_t n_pages)
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

bool pager_place(Pager *pager, size_t block_index, PageWindow *window,
                 const void *buf, uint64_t first_page, PlacedBy by)
{
    PagerBlock *block = &pager->blocks[block_index];
    size_t n_pages = page_states_take(&block->states, window);
    uint64_t page = 0;
    uint64_t run_pages = 0;
    uint64_t wake_from = UINT64_MAX;

    if (n_pages == 0) {
        return true;
    }
    for (; page_window_next_run(window, &page, &run_pages); page += run_pages) {
        const uint8_t *src =
            (const uint8_t *)buf + (page - first_page) * pager->page_bytes;

        if (!place_run(pager, block_index, page, run_pages, src)) {
            return false;
        }
        wake_from = MIN(wake_from, page);
    }
    page_states_set_placed(&block->states, window);
    load_stats_placed(pager->config.stats, by, n_pages);
    /* Only now: a fault handled while the page was being placed counts on
     * it.  Cannot fail but for an unregistered range, where nobody waits. */
    (void)uffd_wake(pager->uffd, block->host + wake_from * pager->page_bytes,
                    (page - wake_from) * pager->page_bytes);
    count_placed(pager, n_pages);
    return true;
}

void pager_place_zero(Pager *pager, size_t block, uint64_t page)
{
    uint64_t address = pager->blocks[block].host + page * pager->page_bytes;
    unsigned tries = 0;

    for (;;) {
        int rc = uffd_zero(pager->uffd, address, pager->page_bytes);

        if (rc == UFFD_EXISTS) {
            rc = uffd_wake(pager->uffd, address, pager->page_bytes);
        }
        if (rc == 0 || rc == -ENOENT) {
            return;
        }
        if (rc == UFFD_AGAIN) {
            sched_yield();
        } else if (!await_next_try(pager, "placing", block, page, -rc,
                                   &tries)) {
            return;
        }
    }
}
