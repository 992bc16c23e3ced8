/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager takes over memory, and gives it back.
 */
#include "plugin/pager/pager-attach.h"

#include <errno.h>
#include <unistd.h>

#include "plugin/pager/pager-fault.h"
#include "plugin/pager/pager-state.h"
#include "util/clock.h"

/* Memory is registered in stretches of this size, and only those that have a
 * page in the file: elsewhere the kernel itself fills in zeroes, in huge pages
 * if it likes.  Each border between the two costs a kernel mapping, of which
 * a process has 65,530; so stretches grow until there are few enough. */
#define MIN_CHUNK_BYTES  (UINT64_C(2) << 20)
#define MAX_CHUNK_RANGES 1024

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

/* Of a snapshot at path, and how long its block of the range's name is; NULL:
 * it has none. */
static bool fits(const PagerRange *range, const char *path,
                 const uint64_t *len_bytes, GError **error)
{
    if (len_bytes && *len_bytes == range->len_bytes) {
        return true;
    }
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_SNAPSHOT,
                "%s: RAM block %s is not in it with this length", path,
                range->name);
    return false;
}

const RamImageBlock *pager_range_block(const PagerRange *range,
                                       const RamImage *snapshot, GError **error)
{
    const RamImageBlock *block = ram_image_find_block(snapshot, range->name);
    const uint64_t *len_bytes = block ? &block->len_bytes : NULL;

    return fits(range, snapshot->path, len_bytes, error) ? block : NULL;
}

/* Find each range's block and see that it can be loaded lazily. */
static bool check_range(Pager *pager, const PagerRange *range,
                        PagerBlock **ret_block, GError **error)
{
    const PageSource *source = pager->config.source;
    const PageSourceBlock *layout = page_source_find_block(source, range->name);

    if (!fits(range, source->name, layout ? &layout->len_bytes : NULL, error)) {
        return false;
    }
    PagerBlock *block = &pager->blocks[layout - source->blocks];
    if (layout->page_bytes != block->unit_bytes) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SNAPSHOT,
                    "%s: its pages of %" G_GUINT64_FORMAT " bytes are not "
                    "this host's of %" G_GUINT64_FORMAT
                    "; load with --policy full",
                    source->name, layout->page_bytes, block->unit_bytes);
        return false;
    }
    if (range->host == 0 || range->host % block->unit_bytes != 0 ||
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

static bool has_page_in(const PageSourceBlock *layout, uint64_t first,
                        uint64_t n_pages)
{
    uint64_t end = MIN(first + n_pages, layout->n_pages);

    for (uint64_t page = first; page < end; page++) {
        if (page % 64 == 0 && end - page >= 64 &&
            layout->bitmap[page / 64] == 0) {
            page += 63;
        } else if (page_source_block_has_page(layout, page)) {
            return true;
        }
    }
    return false;
}

static void collect_chunks(PagerBlock *block, uint64_t chunk_bytes)
{
    const PageSourceBlock *layout = block->layout;
    uint64_t page_bytes = block->unit_bytes;
    uint64_t chunk_pages = chunk_bytes / page_bytes;
    RegisteredRange *last = NULL;

    g_array_set_size(block->registered, 0);
    for (uint64_t page = 0; page < layout->n_pages; page += chunk_pages) {
        RegisteredRange range = {
            .start = block->host + page * page_bytes,
            .len_bytes = MIN(chunk_pages, layout->n_pages - page) * page_bytes,
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

static void plan_registration(PagerBlock *block)
{
    uint64_t chunk_bytes = MIN_CHUNK_BYTES;

    do {
        collect_chunks(block, chunk_bytes);
        chunk_bytes *= 2;
    } while (block->registered->len > MAX_CHUNK_RANGES);
}

static bool register_block(Pager *pager, PagerBlock *block, GError **error)
{
    plan_registration(block);
    for (guint i = 0; i < block->registered->len; i++) {
        const RegisteredRange *range =
            &g_array_index(block->registered, RegisteredRange, i);
        int rc = uffd_register(pager->uffd, range->start, range->len_bytes,
                               UFFD_MISSING);

        if (rc < 0) {
            g_array_set_size(block->registered, i);
            return fail(error, PAGER_ERROR_SYSTEM, rc,
                        rc == -EBUSY ? "another userfaultfd watches this memory"
                                     : "cannot be registered with userfaultfd",
                        block->layout->name);
        }
    }
    return true;
}

static void unregister_all(Pager *pager)
{
    for (size_t i = 0; i < pager->n_blocks; i++) {
        GArray *registered = pager->blocks[i].registered;

        for (guint j = 0; j < registered->len; j++) {
            const RegisteredRange *range =
                &g_array_index(registered, RegisteredRange, j);

            /* Fails only where the memory is gone: unplugged. */
            (void)uffd_unregister(pager->uffd, range->start, range->len_bytes);
        }
        g_array_set_size(registered, 0);
    }
}

static bool open_uffd(Pager *pager, GError **error)
{
    UffdCaps caps;

    return ram_range_open_uffd(&pager->uffd, &caps, "load with --policy full",
                               error);
}

static bool register_all(Pager *pager, GError **error)
{
    for (size_t i = 0; i < pager->n_blocks; i++) {
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
    for (size_t i = 0; i < pager->n_blocks; i++) {
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

    for (size_t i = 0; i < pager->n_blocks; i++) {
        PagerBlock *block = &pager->blocks[i];

        if (is_lazy(block)) {
            n_unplaced += block->layout->n_pages_in_file;
            block->placer = placer_copy(pager->uffd, block->unit_bytes);
        }
    }
    load_stats_set_in_file(pager->config.stats, n_unplaced);
    /* Nothing is placed before attached is set, or a fault comes. */
    atomic_store_explicit(&pager->n_unplaced, n_unplaced, memory_order_release);
}

/* The fault threads come last: a page that they placed before the discard
 * would be gone again, and count as placed.  Who touches one meanwhile waits.
 */
static bool take_over(Pager *pager, GError **error)
{
    if (!open_uffd(pager, error)) {
        return false;
    }
    begin_loading(pager);
    if (!register_all(pager, error)) {
        return false;
    }
    pager->discarded = true;
    if (!discard_all(pager, error)) {
        return false;
    }
    int rc = fault_loop_start(pager->uffd, pager->config.n_fault_threads,
                              pager_handle_fault, pager, &pager->fault_loop);
    if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "no fault threads: %s; guest memory is lost already, load "
                    "with --policy full",
                    g_strerror(-rc));
        return false;
    }
    return true;
}

void pager_give_back(Pager *pager)
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
    for (size_t i = 0; i < pager->n_blocks; i++) {
        pager->blocks[i].host = 0;
    }
}

bool pager_attach(Pager *pager, const PagerRange *ranges, size_t n_ranges,
                  const uint32_t *thread_ids, size_t n_threads, GError **error)
{
    pthread_mutex_lock(&pager->lock);
    bool again = pager->attached;
    pthread_mutex_unlock(&pager->lock);
    if (again) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "guest RAM was taken over before");
        return false;
    }
    /* A fault thread may have placed pages meanwhile, which are gone. */
    if (pager->discarded) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "guest RAM was lost when taking it over failed; start "
                    "QEMU again, with --policy full");
        return false;
    }
    load_stats_set_vcpus(pager->config.stats, thread_ids, n_threads);
    if (!set_hosts(pager, ranges, n_ranges, error) ||
        !take_over(pager, error)) {
        pager_give_back(pager);
        clear_hosts(pager);
        return false;
    }
    pthread_mutex_lock(&pager->lock);
    pager->attached = true;
    pager->observe_until_us = monotonic_us() + pager->config.observe.for_us;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
    return true;
}
