/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Several threads read, as the eager threads of a load do: one alone waits for
 * each read of a disk that could serve several.  Each takes the next stretch of
 * the replay, and the time from which it may be read.
 */
#include "cli/prefetch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "profiler/orders/read-ahead.h"
#include "profiler/orders/replay.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/thread.h"

/* How often the bar is drawn. */
#define PROGRESS_US UINT64_C(100000)

typedef struct Prefetch {
    /* Constant while the threads run. */
    const RamImage *image;
    const RamImageBlock **blocks; /* in the sequence of the file */
    uint64_t max_rate;
    uint64_t total_bytes;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    Replay *replay;
    uint64_t **wanted;   /* by block, a bit a page: still to be read */
    PageSpan span;       /* what is left of the replay's last */
    uint64_t next_us;    /* when the next stretch may be read */
    uint64_t done_bytes; /* of wanted pages */
    PrefetchResult result;
    unsigned n_running;
    GError *error; /* the first; then everybody ends */
} Prefetch;

/* ---- what is read ---- */

static int compare_offsets(const void *a, const void *b)
{
    const RamImageBlock *x = *(const RamImageBlock *const *)a;
    const RamImageBlock *y = *(const RamImageBlock *const *)b;

    return (x->pages_off_bytes > y->pages_off_bytes) -
           (x->pages_off_bytes < y->pages_off_bytes);
}

/* An order of all pages, for those who have none. */
static PageOrder *order_of_all(const RamImage *image)
{
    PageOrder *order = page_order_new();

    for (size_t i = 0; i < image->n_blocks; i++) {
        const RamImageBlock *block = &image->blocks[i];
        const PageExtent all = {
            .span = {page_order_add_block(order, block->name, block->len_bytes,
                                          block->page_bytes),
                     0, block->n_pages}};

        page_order_append(order, &all);
    }
    return order;
}

static size_t n_words(const RamImageBlock *block)
{
    return block->n_pages / 64 + 1;
}

static void want(Prefetch *prefetch, size_t index)
{
    const RamImageBlock *block = prefetch->blocks[index];
    uint64_t *wanted = g_new0(uint64_t, n_words(block));

    replay_mark_pages(prefetch->replay, index, wanted);
    for (uint64_t page = 0; page < block->n_pages; page++) {
        uint64_t bit = UINT64_C(1) << (page % 64);

        if (!ram_image_block_has_page(block, page)) {
            wanted[page / 64] &= ~bit;
        } else if (wanted[page / 64] & bit) {
            prefetch->total_bytes += block->page_bytes;
            prefetch->result.n_pages++;
        }
    }
    prefetch->wanted[index] = wanted;
}

static void plan(Prefetch *prefetch, const PageOrder *order)
{
    const RamImage *image = prefetch->image;
    g_autofree ReplayBlock *blocks = g_new0(ReplayBlock, image->n_blocks);

    prefetch->blocks = g_new(const RamImageBlock *, image->n_blocks);
    prefetch->wanted = g_new0(uint64_t *, image->n_blocks);
    for (size_t i = 0; i < image->n_blocks; i++) {
        prefetch->blocks[i] = &image->blocks[i];
    }
    qsort(prefetch->blocks, image->n_blocks, sizeof(*prefetch->blocks),
          compare_offsets);
    for (size_t i = 0; i < image->n_blocks; i++) {
        const RamImageBlock *block = prefetch->blocks[i];

        blocks[i] = (ReplayBlock){block->name, block->page_bytes,
                                  block->n_pages, block->bitmap};
    }
    prefetch->replay = replay_new(order, blocks, image->n_blocks);
    for (size_t i = 0; i < image->n_blocks; i++) {
        want(prefetch, i);
    }
}

static bool is_wanted(const Prefetch *prefetch, size_t block, uint64_t page)
{
    return (prefetch->wanted[block][page / 64] >> (page % 64)) & 1;
}

/* The end of the stretch that begins with page, which is wanted: it ends with
 * a wanted page. */
static uint64_t stretch_end(const Prefetch *prefetch, const PageSpan *span,
                            uint64_t page)
{
    uint64_t page_bytes = prefetch->blocks[span->block]->page_bytes;
    uint64_t max_hole = READ_AHEAD_MAX_HOLE_BYTES / page_bytes;
    uint64_t end = span->first_page + span->n_pages;
    uint64_t last = page;

    for (uint64_t i = page + 1; i < end && i - last <= max_hole + 1; i++) {
        if (is_wanted(prefetch, span->block, i)) {
            last = i;
        }
    }
    return last + 1;
}

/* Take the wanted pages of stretch; returns how many. */
static uint64_t take_pages(Prefetch *prefetch, const PageSpan *stretch)
{
    uint64_t *wanted = prefetch->wanted[stretch->block];
    uint64_t n_taken = 0;

    for (uint64_t i = 0; i < stretch->n_pages; i++) {
        uint64_t page = stretch->first_page + i;

        n_taken += is_wanted(prefetch, stretch->block, page);
        wanted[page / 64] &= ~(UINT64_C(1) << (page % 64));
    }
    return n_taken;
}

/* The next stretch of what is left of the span; false: nothing. */
static bool cut_stretch(Prefetch *prefetch, PageSpan *ret_stretch)
{
    PageSpan *span = &prefetch->span;
    uint64_t page_bytes = prefetch->blocks[span->block]->page_bytes;
    uint64_t end = span->first_page + span->n_pages;
    uint64_t page = span->first_page;

    while (page < end && !is_wanted(prefetch, span->block, page)) {
        page++;
    }
    if (page == end) {
        span->n_pages = 0;
        return false;
    }
    /* A page may have up to 1 GiB. */
    uint64_t max_pages = MAX(READ_AHEAD_PIECE_BYTES / page_bytes, 1);
    uint64_t stop = MIN(stretch_end(prefetch, span, page), page + max_pages);
    *ret_stretch = (PageSpan){span->block, page, stop - page};
    span->first_page = stop;
    span->n_pages = end - stop;
    return true;
}

static uint64_t bytes_of(const Prefetch *prefetch, const PageSpan *span,
                         uint64_t n_pages)
{
    return n_pages * prefetch->blocks[span->block]->page_bytes;
}

/* ret_n_pages: those of it that are wanted.  False at the end. */
static bool next_stretch_locked(Prefetch *prefetch, PageSpan *ret_stretch,
                                uint64_t *ret_n_pages)
{
    uint64_t max_pages = READ_AHEAD_PIECE_BYTES / 4096;

    while (!cut_stretch(prefetch, ret_stretch)) {
        if (!replay_next(prefetch->replay, max_pages, &prefetch->span)) {
            return false;
        }
    }
    *ret_n_pages = take_pages(prefetch, ret_stretch);
    return true;
}

/* ---- the threads ---- */

/* From when on the next bytes may be read. */
static uint64_t take_turn_locked(Prefetch *prefetch, uint64_t n_bytes)
{
    uint64_t now_us = monotonic_us();
    uint64_t turn_us = MAX(prefetch->next_us, now_us);

    if (prefetch->max_rate == 0) {
        return now_us;
    }
    prefetch->next_us = turn_us + (uint64_t)((double)n_bytes * 1e6 /
                                             (double)prefetch->max_rate);
    return turn_us;
}

static void wait_until_locked(Prefetch *prefetch, uint64_t until_us)
{
    while (!prefetch->error && monotonic_us() < until_us) {
        clock_cond_wait_until(&prefetch->changed, &prefetch->lock, until_us);
    }
}

static bool read_stretch(const Prefetch *prefetch, const PageSpan *stretch,
                         GByteArray *buffer, GError **error)
{
    const RamImageBlock *block = prefetch->blocks[stretch->block];
    uint64_t n_bytes = bytes_of(prefetch, stretch, stretch->n_pages);

    g_byte_array_set_size(buffer, (guint)n_bytes);
    return byte_source_read_at(prefetch->image->source, buffer->data, n_bytes,
                               block->pages_off_bytes +
                                   stretch->first_page * block->page_bytes,
                               error);
}

/* Returns false when there is nothing more to do. */
static bool read_next_locked(Prefetch *prefetch, GByteArray *buffer)
{
    PageSpan stretch;
    uint64_t n_pages;
    GError *error = NULL;

    if (prefetch->error || !next_stretch_locked(prefetch, &stretch, &n_pages)) {
        return false;
    }
    uint64_t n_bytes = bytes_of(prefetch, &stretch, stretch.n_pages);
    wait_until_locked(prefetch, take_turn_locked(prefetch, n_bytes));
    pthread_mutex_unlock(&prefetch->lock);
    bool ok = read_stretch(prefetch, &stretch, buffer, &error);
    pthread_mutex_lock(&prefetch->lock);
    if (!ok && prefetch->error) {
        g_error_free(error);
    } else if (!ok) {
        prefetch->error = error;
    }
    prefetch->result.n_bytes += n_bytes;
    prefetch->done_bytes += bytes_of(prefetch, &stretch, n_pages);
    return ok;
}

static void *prefetch_thread(void *opaque)
{
    Prefetch *prefetch = opaque;
    g_autoptr(GByteArray) buffer = g_byte_array_new();

    pthread_mutex_lock(&prefetch->lock);
    while (read_next_locked(prefetch, buffer)) {
    }
    prefetch->n_running--;
    pthread_cond_broadcast(&prefetch->changed);
    pthread_mutex_unlock(&prefetch->lock);
    return NULL;
}

/* Fewer threads than asked for will do; returns how many there are. */
static unsigned start_threads(Prefetch *prefetch, pthread_t *threads)
{
    unsigned n = 0;

    prefetch->n_running = READ_AHEAD_N_THREADS;
    while (n < READ_AHEAD_N_THREADS &&
           thread_start(&threads[n], "prefetch", prefetch_thread, prefetch) ==
               0) {
        n++;
    }
    pthread_mutex_lock(&prefetch->lock);
    prefetch->n_running -= READ_AHEAD_N_THREADS - n;
    pthread_mutex_unlock(&prefetch->lock);
    return n;
}

static void show_progress(Prefetch *prefetch, const Progress *progress)
{
    pthread_mutex_lock(&prefetch->lock);
    while (prefetch->n_running > 0) {
        uint64_t done_bytes = prefetch->done_bytes;

        pthread_mutex_unlock(&prefetch->lock);
        progress_bytes(progress, "prefetching", done_bytes,
                       prefetch->total_bytes);
        pthread_mutex_lock(&prefetch->lock);
        if (prefetch->n_running > 0) {
            clock_cond_wait_until(&prefetch->changed, &prefetch->lock,
                                  monotonic_us() + PROGRESS_US);
        }
    }
    pthread_mutex_unlock(&prefetch->lock);
    progress_end(progress);
}

static void run_threads(Prefetch *prefetch, const Progress *progress)
{
    pthread_t threads[READ_AHEAD_N_THREADS];
    unsigned n = start_threads(prefetch, threads);

    if (n == 0) {
        g_set_error(&prefetch->error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "no thread can be started");
        return;
    }
    show_progress(prefetch, progress);
    for (unsigned i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void clear(Prefetch *prefetch)
{
    for (size_t i = 0; i < prefetch->image->n_blocks; i++) {
        g_free(prefetch->wanted[i]);
    }
    g_free(prefetch->wanted);
    g_free(prefetch->blocks);
    replay_free(prefetch->replay);
    pthread_cond_destroy(&prefetch->changed);
    pthread_mutex_destroy(&prefetch->lock);
}

bool prefetch_run(const RamImage *image, const PageOrder *order,
                  uint64_t max_rate, const Progress *progress,
                  PrefetchResult *ret_result, GError **error)
{
    g_autoptr(PageOrder) all = order ? NULL : order_of_all(image);
    Prefetch prefetch = {.image = image, .max_rate = max_rate};
    uint64_t begin_us = monotonic_us();

    pthread_mutex_init(&prefetch.lock, NULL);
    clock_cond_init(&prefetch.changed);
    byte_source_advise_random(image->source);
    plan(&prefetch, order ? order : all);
    run_threads(&prefetch, progress);
    prefetch.result.us = monotonic_us() - begin_us;
    bool ok = prefetch.error == NULL;
    if (ok) {
        *ret_result = prefetch.result;
    } else {
        g_propagate_prefixed_error(error, prefetch.error, "%s: ", image->path);
    }
    clear(&prefetch);
    return ok;
}
