/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager's life: start, taking over memory, end.  See pager-internal.h
 * for the theory of operation.
 */
#include "plugin/pager-internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Memory is registered in stretches of this size, and only those that have a
 * page in the file: elsewhere the kernel itself fills in zeroes, in huge pages
 * if it likes.  Each border between the two costs a kernel mapping, of which
 * a process has 65,530; so stretches grow until there are few enough. */
#define MIN_CHUNK_BYTES   (UINT64_C(2) << 20)
#define MAX_CHUNK_RANGES  1024

static bool is_lazy(const PagerBlock *block)
{
    return block->host != 0;
}

static bool fail(GError **error, PagerError code, int rc, const char *what,
                 const char *name)
{
    g_set_error(error, PAGER_ERROR, code, "RAM block %s: %s: %s", name, what,
                g_strerror(-rc));
    return false;
}

/* ---- start ---- */

static int compare_offsets(const void *a, const void *b, void *opaque)
{
    const Snapshot *snapshot = opaque;
    uint64_t x = snapshot->blocks[*(const size_t *)a].pages_off_bytes;
    uint64_t y = snapshot->blocks[*(const size_t *)b].pages_off_bytes;

    return (x > y) - (x < y);
}

static bool init_blocks(Pager *pager)
{
    const Snapshot *snapshot = pager->config.snapshot;

    pager->blocks = g_new0(PagerBlock, snapshot->n_blocks);
    pager->by_offset = g_new0(size_t, snapshot->n_blocks);
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const SnapshotBlock *layout = &snapshot->blocks[i];

        pager->blocks[i].layout = layout;
        pager->blocks[i].registered =
            g_array_new(FALSE, FALSE, sizeof(RegisteredRange));
        pager->by_offset[i] = i;
        if (!page_states_init(&pager->blocks[i].states, layout->bitmap,
                              layout->n_pages)) {
            return false;
        }
    }
    qsort_r(pager->by_offset, snapshot->n_blocks, sizeof(size_t),
            compare_offsets, (void *)snapshot);
    return true;
}

static void init_lock(Pager *pager)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&pager->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pager->changed, &attr);
    pthread_condattr_destroy(&attr);
}

static void *map_buffer(uint64_t len_bytes)
{
    void *buf = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return buf == MAP_FAILED ? NULL : buf;
}

static bool start_eager_thread(Pager *pager)
{
    EagerThread *self = &pager->eager_threads[pager->n_eager_started];
    sigset_t all;
    sigset_t old;

    self->pager = pager;
    self->buf = map_buffer(PIECE_BYTES_QUIET);
    if (!self->buf) {
        return false;
    }
    /* The process's signals are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&self->thread, NULL, pager_eager_thread, self);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        munmap(self->buf, PIECE_BYTES_QUIET);
        return false;
    }
    pthread_setname_np(self->thread, "preheat-eager");
    pager->n_eager_started++;
    return true;
}

static bool start(Pager *pager)
{
    const PagerConfig *config = &pager->config;

    pager->fault_bufs =
        map_buffer(config->n_fault_threads * pager->page_bytes);
    if (!pager->fault_bufs || !init_blocks(pager)) {
        return false;
    }
    if (config->policy == PAGER_POLICY_ORDER && config->order) {
        pager->replay = replay_new(config->order, config->snapshot);
    }
    if (config->order && config->learning.missed) {
        pager_hold_back(pager, config->order);
    }
    pager->config.order = NULL;
    pager->stage = config->policy == PAGER_POLICY_DEMAND ? STAGE_DRAIN
                   : pager->replay                       ? STAGE_ORDER
                                                         : STAGE_REST;
    pager->recording.state = config->recorder ? NOTING_ON : NOTING_NONE;
    pager->learning.state =
        config->learning.missed ? NOTING_ON : NOTING_NONE;
    pager->eager_threads = g_new0(EagerThread, config->n_eager_threads);
    while (pager->n_eager_started < config->n_eager_threads) {
        if (!start_eager_thread(pager)) {
            return false;
        }
    }
    return true;
}

Pager *pager_new(const PagerConfig *config, GError **error)
{
    Pager *pager = g_new0(Pager, 1);

    pager->config = *config;
    pager->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    pager->uffd = -1;
    init_lock(pager);
    g_queue_init(&pager->staged);
    pager->held = g_array_new(FALSE, FALSE, sizeof(HeldPiece));
    if (!start(pager)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "%s: no memory or no threads for loading it",
                    config->snapshot->path);
        pager_free(pager);
        return NULL;
    }
    return pager;
}

/* ---- taking over memory ---- */

/* Find each range's block and see that it can be loaded lazily. */
static bool check_range(Pager *pager, const PagerRange *range,
                        PagerBlock **ret_block, GError **error)
{
    const Snapshot *snapshot = pager->config.snapshot;
    const SnapshotBlock *layout = snapshot_find_block(snapshot, range->name);

    if (!layout || layout->len_bytes != range->len_bytes) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SNAPSHOT,
                    "%s: RAM block %s is not in it with this length",
                    snapshot->path, range->name);
        return false;
    }
    if (layout->page_bytes != pager->page_bytes) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SNAPSHOT,
                    "%s: its pages of %" G_GUINT64_FORMAT " bytes are not "
                    "this host's of %" G_GUINT64_FORMAT
                    "; load with --policy full",
                    snapshot->path, layout->page_bytes, pager->page_bytes);
        return false;
    }
    PagerBlock *block = &pager->blocks[layout - snapshot->blocks];
    if (range->host == 0 || range->host % pager->page_bytes != 0 ||
        is_lazy(block)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                    "RAM block %s: its address 0x%" G_GINT64_MODIFIER
                    "x is not one, or was given before",
                    range->name, range->host);
        return false;
    }
    *ret_block = block;
    return ram_range_check(range->name, range->host, range->len_bytes,
                           &block->kind, error);
}

static bool has_page_in(const SnapshotBlock *layout, uint64_t first,
                        uint64_t n_pages)
{
    uint64_t end = MIN(first + n_pages, layout->n_pages);

    for (uint64_t page = first; page < end; page++) {
        if (page % 64 == 0 && end - page >= 64 &&
            layout->bitmap[page / 64] == 0) {
            page += 63;
        } else if (snapshot_block_has_page(layout, page)) {
            return true;
        }
    }
    return false;
}

static void collect_chunks(PagerBlock *block, uint64_t page_bytes,
                           uint64_t chunk_bytes)
{
    const SnapshotBlock *layout = block->layout;
    uint64_t chunk_pages = chunk_bytes / page_bytes;
    RegisteredRange *last = NULL;

    g_array_set_size(block->registered, 0);
    for (uint64_t page = 0; page < layout->n_pages; page += chunk_pages) {
        RegisteredRange range = {
            .start = block->host + page * page_bytes,
            .len_bytes =
                MIN(chunk_pages, layout->n_pages - page) * page_bytes,
        };

        if (!has_page_in(layout, page, chunk_pages)) {
            continue;
        }
        if (last && last->start + last->len_bytes == range.start) {
            last->len_bytes += range.len_bytes;
            continue;
        }
        g_array_append_val(block->registered, range);
        last = &g_array_index(block->registered, RegisteredRange,
                              block->registered->len - 1);
    }
}

static void plan_registration(PagerBlock *block, uint64_t page_bytes)
{
    uint64_t chunk_bytes = MIN_CHUNK_BYTES;

    do {
        collect_chunks(block, page_bytes, chunk_bytes);
        chunk_bytes *= 2;
    } while (block->registered->len > MAX_CHUNK_RANGES);
}

static bool register_block(Pager *pager, PagerBlock *block, GError **error)
{
    plan_registration(block, pager->page_bytes);
    for (guint i = 0; i < block->registered->len; i++) {
        const RegisteredRange *range =
            &g_array_index(block->registered, RegisteredRange, i);
        int rc = uffd_register(pager->uffd, range->start, range->len_bytes,
                               UFFD_MISSING);

        if (rc < 0) {
            g_array_set_size(block->registered, i);
            return fail(error, PAGER_ERROR_SYSTEM, rc,
                        rc == -EBUSY
                            ? "another userfaultfd watches this memory"
                            : "cannot be registered with userfaultfd",
                        block->layout->name);
        }
    }
    return true;
}

static void unregister_all(Pager *pager)
{
    for (size_t i = 0; i < pager->config.snapshot->n_blocks; i++) {
        GArray *registered = pager->blocks[i].registered;

        for (guint j = 0; j < registered->len; j++) {
            const RegisteredRange *range =
                &g_array_index(registered, RegisteredRange, j);

            /* Fails only where the memory is gone: unplugged. */
            (void)uffd_unregister(pager->uffd, range->start,
                                  range->len_bytes);
        }
        g_array_set_size(registered, 0);
    }
}

static bool open_uffd(Pager *pager, GError **error)
{
    UffdCaps caps;
    int rc = uffd_open(&pager->uffd, &caps);

    if (rc == -EPERM || rc == -EACCES) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "userfaultfd is not allowed here: give this user access "
                    "to /dev/userfaultfd, or set the sysctl "
                    "vm.unprivileged_userfaultfd=1, or load with --policy "
                    "full");
        return false;
    }
    if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "userfaultfd cannot be had: %s; it needs Linux 4.11 or "
                    "later with CONFIG_USERFAULTFD; else load with --policy "
                    "full",
                    g_strerror(-rc));
        return false;
    }
    return true;
}

static bool register_all(Pager *pager, GError **error)
{
    for (size_t i = 0; i < pager->config.snapshot->n_blocks; i++) {
        PagerBlock *block = &pager->blocks[i];

        if (is_lazy(block) && !register_block(pager, block, error)) {
            return false;
        }
    }
    return true;
}

/* Registered first, discarded second: what touches a page in between waits
 * for a fault thread and cannot leave something behind. */
static bool discard_all(Pager *pager, GError **error)
{
    for (size_t i = 0; i < pager->config.snapshot->n_blocks; i++) {
        PagerBlock *block = &pager->blocks[i];

        if (!is_lazy(block)) {
            continue;
        }
        int rc = ram_range_discard(block->kind, block->host,
                                   block->layout->len_bytes);
        if (rc < 0) {
            return fail(error, PAGER_ERROR_RAM, rc,
                        "its memory cannot be given back (locked by "
                        "-overcommit mem-lock=on?); memory of other blocks "
                        "may be lost already; load with --policy full",
                        block->layout->name);
        }
    }
    return true;
}

static void begin_loading(Pager *pager)
{
    uint64_t n_unplaced = 0;

    for (size_t i = 0; i < pager->config.snapshot->n_blocks; i++) {
        if (is_lazy(&pager->blocks[i])) {
            n_unplaced += pager->blocks[i].layout->n_pages_in_file;
        }
    }
    load_stats_set_in_file(pager->config.stats, n_unplaced);
    /* Nothing is placed before attached is set, or a fault comes. */
    atomic_store_explicit(&pager->n_unplaced, n_unplaced,
                          memory_order_release);
}

static bool take_over(Pager *pager, GError **error)
{
    if (!open_uffd(pager, error)) {
        return false;
    }
    begin_loading(pager);
    int rc = fault_loop_start(pager->uffd, pager->config.n_fault_threads,
                              pager_handle_fault, pager, &pager->fault_loop);
    if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "no fault threads: %s", g_strerror(-rc));
        return false;
    }
    return register_all(pager, error) && discard_all(pager, error);
}

static void give_back(Pager *pager)
{
    if (pager->uffd >= 0) {
        unregister_all(pager);
    }
    fault_loop_stop(pager->fault_loop);
    pager->fault_loop = NULL;
    if (pager->uffd >= 0) {
        close(pager->uffd);
        pager->uffd = -1;
    }
}

static bool set_hosts(Pager *pager, const PagerRange *ranges, size_t n_ranges,
                      GError **error)
{
    for (size_t i = 0; i < n_ranges; i++) {
        PagerBlock *block;

        if (!check_range(pager, &ranges[i], &block, error)) {
            return false;
        }
        block->host = ranges[i].host;
    }
    return true;
}

static void clear_hosts(Pager *pager)
{
    for (size_t i = 0; i < pager->config.snapshot->n_blocks; i++) {
        pager->blocks[i].host = 0;
    }
}

bool pager_attach(Pager *pager, const PagerRange *ranges, size_t n_ranges,
                  const uint32_t *thread_ids, size_t n_threads,
                  GError **error)
{
    pthread_mutex_lock(&pager->lock);
    bool again = pager->attached;
    pthread_mutex_unlock(&pager->lock);
    if (again) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "guest RAM was taken over before");
        return false;
    }
    load_stats_set_vcpus(pager->config.stats, thread_ids, n_threads);
    if (!set_hosts(pager, ranges, n_ranges, error) ||
        !take_over(pager, error)) {
        give_back(pager);
        clear_hosts(pager);
        return false;
    }
    pthread_mutex_lock(&pager->lock);
    pager->attached = true;
    uint64_t now_us = monotonic_us();
    pager->recording.until_us = now_us + pager->config.record_us;
    pager->learning.until_us = now_us + pager->config.learning.learn_us;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
    return true;
}

/* ---- while it runs ---- */

static bool is_reached_locked(const Pager *pager, PagerGoal goal)
{
    switch (goal) {
    case PAGER_GOAL_HOT:
        return pager->attached && pager->stage != STAGE_ORDER;
    case PAGER_GOAL_ALL:
        return pager->finished;
    case PAGER_GOAL_RECORDED:
        return (pager->recording.state == NOTING_NONE ||
                pager->recording.state == NOTING_DONE) &&
               (pager->learning.state == NOTING_NONE ||
                pager->learning.state == NOTING_DONE);
    }
    return true;
}

bool pager_wait(Pager *pager, PagerGoal goal, GError **error)
{
    bool reached;

    pthread_mutex_lock(&pager->lock);
    while (!(reached = is_reached_locked(pager, goal)) && !pager->quit) {
        pthread_cond_wait(&pager->changed, &pager->lock);
    }
    pthread_mutex_unlock(&pager->lock);
    if (!reached) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "loading %s has been given up",
                    pager->config.snapshot->path);
    }
    return reached;
}

void pager_retry(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->failed = false;
    pager->retries++;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
}

/* End it, unless it has ended or another thread is about to; then wait for
 * that one. */
static void end_noting(Pager *pager, Noting *noting,
                       void (*end)(Pager *pager))
{
    pthread_mutex_lock(&pager->lock);
    if (noting->state == NOTING_ON) {
        noting->state = NOTING_ENDING;
        pthread_mutex_unlock(&pager->lock);
        end(pager);
        pthread_mutex_lock(&pager->lock);
        noting->state = NOTING_DONE;
        pthread_cond_broadcast(&pager->changed);
    }
    while (noting->state == NOTING_ENDING) {
        pthread_cond_wait(&pager->changed, &pager->lock);
    }
    pthread_mutex_unlock(&pager->lock);
}

static void recorded(Pager *pager)
{
    if (pager->config.callbacks.recorded) {
        pager->config.callbacks.recorded(pager->config.callbacks.opaque);
    }
}

static void learned(Pager *pager)
{
    void *buf = g_malloc(PIECE_BYTES_BUSY);

    pager_release_held(pager, buf);
    g_free(buf);
    if (pager->config.callbacks.learned) {
        pager->config.callbacks.learned(pager->config.callbacks.opaque);
    }
}

void pager_end_recording(Pager *pager)
{
    end_noting(pager, &pager->recording, recorded);
}

void pager_end_learning(Pager *pager)
{
    end_noting(pager, &pager->learning, learned);
}

void pager_load_rest(Pager *pager)
{
    pager_end_recording(pager);
    pager_end_learning(pager);
    pthread_mutex_lock(&pager->lock);
    if (pager->stage == STAGE_DRAIN) {
        pager->stage = STAGE_REST;
        pthread_cond_broadcast(&pager->changed);
    }
    pthread_mutex_unlock(&pager->lock);
}

const char *pager_state(Pager *pager)
{
    const char *state = "loading";

    pthread_mutex_lock(&pager->lock);
    if (pager->finished) {
        state = "loaded";
    } else if (pager->failed) {
        state = "failed";
    } else if (!pager->attached) {
        state = "idle";
    } else if (pager->recording.state == NOTING_ON) {
        state = "recording";
    }
    pthread_mutex_unlock(&pager->lock);
    return state;
}

/* ---- end ---- */

void pager_finish(Pager *pager)
{
    give_back(pager);
    load_stats_milestone(pager->config.stats, MILESTONE_LOADED,
                         monotonic_us());
    pthread_mutex_lock(&pager->lock);
    pager->finished = true;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
    if (pager->config.callbacks.loaded) {
        pager->config.callbacks.loaded(pager->config.callbacks.opaque);
    }
}

static void stop_eager_threads(Pager *pager)
{
    pthread_mutex_lock(&pager->lock);
    pager->quit = true;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
    for (unsigned i = 0; i < pager->n_eager_started; i++) {
        pthread_join(pager->eager_threads[i].thread, NULL);
        munmap(pager->eager_threads[i].buf, PIECE_BYTES_QUIET);
    }
    g_free(pager->eager_threads);
}

static void free_blocks(Pager *pager)
{
    for (size_t i = 0; pager->blocks && i < pager->config.snapshot->n_blocks;
         i++) {
        page_states_clear(&pager->blocks[i].states);
        if (pager->blocks[i].registered) {
            g_array_unref(pager->blocks[i].registered);
        }
    }
    g_free(pager->blocks);
    g_free(pager->by_offset);
    g_array_unref(pager->held);
}

void pager_free(Pager *pager)
{
    if (!pager) {
        return;
    }
    stop_eager_threads(pager);
    if (pager->blocks) {
        give_back(pager);
    }
    pager_free_staged(pager);
    replay_free(pager->replay);
    free_blocks(pager);
    if (pager->fault_bufs) {
        munmap(pager->fault_bufs,
               pager->config.n_fault_threads * pager->page_bytes);
    }
    pthread_cond_destroy(&pager->changed);
    pthread_mutex_destroy(&pager->lock);
    g_free(pager);
}
