/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager attaches memory, and releases it.
 */
#include "plugin/pager/pager-attach.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "plugin/pager/kernel-features.h"
#include "plugin/pager/pager-ahead.h"
#include "plugin/pager/pager-fail.h"
#include "plugin/pager/pager-fault.h"
#include "plugin/pager/pager-map.h"
#include "plugin/pager/pager-plan.h"
#include "plugin/pager/pager-regroup.h"
#include "plugin/pager/pager-removal.h"
#include "plugin/pager/pager-state.h"
#include "plugin/pager/pager-whole.h"
#include "plugin/pager/registration.h"
#include "util/clock.h"
#include "util/thread.h"

#define OTHERWISE "load with --policy full"

/* What is unregistered in one call: the kernel holds a lock meanwhile, which
 * the guest's faults may need. */
#define UNREGISTER_BYTES (UINT64_C(1) << 30)

static bool maps_memory(const Pager *pager)
{
    return pager->config.source->memory != NULL;
}

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

/* Whether the range has memory of a block that was given before. */
static bool overlaps(const Pager *pager, const PagerRange *range)
{
    for (size_t i = 0; i < pager->n_blocks; i++) {
        const PagerBlock *block = &pager->blocks[i];

        if (is_lazy(block) &&
            range->host < block->host + block->layout->len_bytes &&
            block->host < range->host + range->len_bytes) {
            return true;
        }
    }
    return false;
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
    if (layout->page_bytes != pager->page_bytes) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SNAPSHOT,
                    "%s: its pages of %" G_GUINT64_FORMAT " bytes are not "
                    "this host's of %" G_GUINT64_FORMAT
                    "; load with --policy full",
                    source->name, layout->page_bytes, pager->page_bytes);
        return false;
    }
    if (range->host == 0 || range->host % pager->page_bytes != 0 ||
        is_lazy(block) || overlaps(pager, range)) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                    "RAM block %s: its address 0x%" G_GINT64_MODIFIER
                    "x is not valid, or another block is there",
                    range->name, range->host);
        return false;
    }
    *ret_block = block;
    return ram_range_check(range->name, range->host, range->len_bytes,
                           OTHERWISE, &block->kind, error) &&
           (!ram_kind_is_hugetlb(block->kind) ||
            ram_range_huge_pages(range->name, range->host, OTHERWISE,
                                 &block->huge_page, error)) &&
           ram_range_check_unlocked(range->name, range->host, range->len_bytes,
                                    OTHERWISE, error) &&
           (!maps_memory(pager) ||
            pager_map_check(range->name, block->kind, range->host, error));
}

static bool open_uffd(Pager *pager, GError **error)
{
    UffdCaps caps;

    if (!ram_range_open_uffd_with_removals(&pager->uffd, &caps, OTHERWISE,
                                           error)) {
        return false;
    }
    pager->can_move = (caps & UFFD_CAN_MOVE) &&
                      kernel_feature_is_safe(KERNEL_MOVE) &&
                      kernel_feature_is_safe(KERNEL_MOVE_HUGE);
    return true;
}

static int compare_hosts(const void *a, const void *b)
{
    uint64_t x = (*(const PagerBlock *const *)a)->host;
    uint64_t y = (*(const PagerBlock *const *)b)->host;

    return (x > y) - (x < y);
}

static Placer make_placer(const Pager *pager, const PagerBlock *block)
{
    if (maps_memory(pager)) {
        return placer_wake(pager->uffd, block->unit_bytes);
    }
    if (ram_kind_is_hugetlb(block->kind)) {
        return placer_copy_hugetlb(pager->uffd, block->unit_bytes,
                                   pager->zeroes);
    }
    return pager->can_move && block->kind == RAM_ANONYMOUS
               ? placer_move(pager->uffd, block->unit_bytes)
               : placer_copy(pager->uffd, block->unit_bytes);
}

static void begin_loading(Pager *pager)
{
    uint64_t n_unplaced = 0;
    uint64_t n_in_file = 0;

    pager->n_attached_blocks = 0;
    for (size_t i = 0; i < pager->n_blocks; i++) {
        PagerBlock *block = &pager->blocks[i];

        if (is_lazy(block)) {
            n_unplaced += block->layout->n_pages_in_file;
            n_in_file += pager->config.source->blocks[i].n_pages_in_file;
            block->placer = make_placer(pager, block);
            pager->attached_blocks[pager->n_attached_blocks++] = block;
        }
    }
    qsort(pager->attached_blocks, pager->n_attached_blocks,
          sizeof *pager->attached_blocks, compare_hosts);
    load_stats_set_in_file(pager->config.stats, n_in_file);
    /* Nothing is placed before attached is set, or a fault comes. */
    atomic_store_explicit(&pager->n_unplaced, n_unplaced, memory_order_release);
}

/* Held: they are there to read that memory is discarded, and whoever discards
 * waits for that.  A page that they placed before the discard would be gone
 * again, and count as placed; so whoever touches one meanwhile waits. */
static bool start_fault_threads(Pager *pager, GError **error)
{
    const FaultHandlers handlers = {
        .fault = pager_handle_fault,
        .removal = maps_memory(pager) ? NULL : pager_handle_removal,
        .heeds_removals = &pager->heeds_removals,
        .opaque = pager,
    };
    int rc = fault_loop_start_held(pager->uffd, pager->config.n_fault_threads,
                                   &handlers, &pager->fault_loop);

    if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "no fault threads: %s; " OTHERWISE, g_strerror(-rc));
    }
    return rc == 0;
}

/* As a whole, so that discarding it is one removal; what need not be
 * registered is taken out later. */
static bool register_block(Pager *pager, PagerBlock *block, GError **error)
{
    ram_range_keep_together(block->kind, block->host, block->unit_bytes);
    int rc = uffd_register(pager->uffd, block->host, block->layout->len_bytes,
                           UFFD_MISSING);

    if (rc < 0) {
        return fail(error, PAGER_ERROR_SYSTEM, rc,
                    rc == -EBUSY ? "another userfaultfd watches this memory"
                                 : "cannot be registered with userfaultfd",
                    block->layout->name);
    }
    block->registered = true;
    ram_range_keep_holes(block->kind, block->host, block->layout->len_bytes);
    return true;
}

static bool register_all(Pager *pager, GError **error)
{
    for (size_t i = 0; i < pager->n_blocks; i++) {
        PagerBlock *block = &pager->blocks[i];

        if (is_lazy(block) && !block->is_whole &&
            !register_block(pager, block, error)) {
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
        pager->discarded = true;
        int rc = ram_range_discard(block->kind, block->host,
                                   block->layout->len_bytes);
        if (rc < 0) {
            return fail(error, PAGER_ERROR_RAM, rc,
                        "its memory cannot be discarded; memory of other "
                        "blocks may already be lost; load with --policy full",
                        block->layout->name);
        }
    }
    return true;
}

/* Of reserved huge pages there are none: the kernel would never make their
 * mappings one again. */
static GArray *plan_holes(const Pager *pager)
{
    g_autofree RamPages *blocks = g_new(RamPages, pager->n_blocks);
    size_t n_blocks = 0;

    for (size_t i = 0; i < pager->n_blocks; i++) {
        const PagerBlock *block = &pager->blocks[i];

        if (is_lazy(block) && !ram_kind_is_hugetlb(block->kind)) {
            blocks[n_blocks++] = (RamPages){
                .host = block->host,
                .page_bytes = block->unit_bytes,
                .n_pages = block->layout->n_pages,
                .in_file = block->layout->bitmap,
            };
        }
    }
    return registration_plan(blocks, n_blocks,
                             registration_budget_here(n_blocks));
}

/* What stays registered although it need not is served by the fault threads;
 * so a failure, for want of mappings or memory, is none. */
static void unregister_holes(Pager *pager, const GArray *holes)
{
    for (guint i = 0; i < holes->len; i++) {
        const RegistrationHole *hole =
            &g_array_index(holes, RegistrationHole, i);

        if (uffd_unregister(pager->uffd, hole->start, hole->len_bytes) < 0) {
            return;
        }
    }
}

static bool empty_blocks(Pager *pager, GError **error)
{
    if (!register_all(pager, error)) {
        return false;
    }
    g_autoptr(GArray) holes = plan_holes(pager);
    if (!discard_all(pager, error)) {
        return false;
    }
    unregister_holes(pager, holes);
    return true;
}

static bool map_blocks(Pager *pager, GError **error)
{
    g_autoptr(GArray) holes = plan_holes(pager);

    return pager_map_blocks(pager, holes, error);
}

/* Whatever can fail comes before the first byte is discarded. */
static bool take_over(Pager *pager, GError **error)
{
    if (!open_uffd(pager, error)) {
        return false;
    }
    begin_loading(pager);
    if (!start_fault_threads(pager, error) ||
        !(maps_memory(pager) ? map_blocks(pager, error)
                             : empty_blocks(pager, error))) {
        return false;
    }
    fault_loop_release(pager->fault_loop);
    return pager_whole_load(pager, error);
}

static void unregister_block(Pager *pager, PagerBlock *block)
{
    uint64_t len = block->layout->len_bytes;
    /* These have few pages, and see plan_holes(). */
    uint64_t step = ram_kind_is_hugetlb(block->kind) ? len : UNREGISTER_BYTES;

    for (uint64_t off = 0; off < len; off += step) {
        /* Fails only where the memory is gone: unplugged.  What is left is
         * unregistered when the userfaultfd is closed. */
        (void)uffd_unregister(pager->uffd, block->host + off,
                              MIN(step, len - off));
    }
    ram_range_release_holes(block->kind, block->host, len);
    block->registered = false;
}

void pager_give_back(Pager *pager)
{
    for (size_t i = 0; i < pager->n_blocks; i++) {
        if (pager->blocks[i].registered) {
            unregister_block(pager, &pager->blocks[i]);
        }
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

static void make_rest_gate_locked(Pager *pager, const uint32_t *thread_ids,
                                  size_t n_threads)
{
    const PagerConfig *config = &pager->config;
    /* Without an order the rest is all that is ahead of the guest. */
    bool waits = pager->stage == STAGE_ORDER && config->rest == LOAD_REST_IDLE;

    if (waits || config->rest_bytes_per_s > 0) {
        pager->rest_gate = rest_gate_new(
            thread_ids, n_threads, config->n_processors,
            waits ? config->rest_patience_us : 0, config->rest_bytes_per_s);
        if (pager->rest_is_released) {
            rest_gate_release(pager->rest_gate);
        }
    }
}

/* Without that thread the guest takes more faults, and that is all. */
static void start_ahead(Pager *pager)
{
    if (pager->config.source->next_hot) {
        pager->ahead_started =
            thread_start(&pager->ahead_thread, "preheat-ahead",
                         pager_ahead_thread, pager) == 0;
    }
}

/* Mapped from a source that has every page: there is nothing to read. */
static void skip_stages_locked(Pager *pager)
{
    /* Relaxed: no other thread places pages yet. */
    if (maps_memory(pager) &&
        atomic_load_explicit(&pager->n_unplaced, memory_order_relaxed) == 0) {
        pager->stage = STAGE_DRAIN;
        pager->plan_is_out = true;
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
                    "guest RAM is already attached");
        return false;
    }
    if (pager->discarded) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_STATE,
                    "guest RAM was lost when attaching it failed; start QEMU "
                    "again, with --policy full");
        return false;
    }
    load_stats_set_vcpus(pager->config.stats, thread_ids, n_threads);
    if (!set_hosts(pager, ranges, n_ranges, error) ||
        !pager_regroup(pager, error) || !take_over(pager, error)) {
        pager_give_back(pager);
        clear_hosts(pager);
        return false;
    }
    pager_plan_end_warming(pager);
    start_ahead(pager);
    pthread_mutex_lock(&pager->lock);
    pager->attached = true;
    pager->plan_is_out = false;
    skip_stages_locked(pager);
    make_rest_gate_locked(pager, thread_ids, n_threads);
    pager->observe_until_us = monotonic_us() + pager->config.observe.for_us;
    pager_forget_unattached_locked(pager);
    pthread_cond_broadcast(&pager->changed);
    pthread_cond_broadcast(&pager->to_place);
    pthread_mutex_unlock(&pager->lock);
    return true;
}
