/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-fail.h"

#include <errno.h>

#include "plugin/pager/pager-state.h"
#include "plugin/pager/pager-units.h"
#include "util/clock.h"

/* How often the watching thread looks for slow reads, at least. */
#define WATCH_US UINT64_C(1000000)

/* ---- the parked pages ---- */

void pager_note_order_locked(Pager *pager)
{
    if (pager->order_is_in || pager->stage <= STAGE_TRIAL) {
        return;
    }
    if (pager->guard.state == ORDER_GUARD_ABANDONED) {
        /* Nobody is to wait for it any more. */
        pager->order_is_in = true;
    } else if (parked_n_of(pager->parked, PLACED_BY_ORDER) == 0 &&
               parked_n_of(pager->parked, PLACED_LATE) == 0) {
        pager->order_is_in = true;
        load_stats_milestone(pager->config.stats, MILESTONE_ORDER_DONE,
                             monotonic_us());
    }
}

/* parked has changed. */
static void note_parked_locked(Pager *pager)
{
    Parked *parked = pager->parked;

    /* Sequentially consistent, as in pager_park(). */
    atomic_store(&pager->n_parked, parked_count(parked));
    load_stats_set_failed(pager->config.stats, parked_n_failed(parked),
                          parked_n_waited_for(parked));
    if (parked_n_failed(parked) > 0) {
        pager->failed = true;
    } else if (parked_count(parked) == 0) {
        pager->failed = false;
    }
    pager_note_order_locked(pager);
    pthread_cond_broadcast(&pager->changed);
    pthread_cond_broadcast(&pager->to_place);
    pthread_cond_signal(&pager->to_watch);
}

void pager_park(Pager *pager, const Piece *piece, uint64_t page,
                const char *what, int error)
{
    size_t index = piece->read.span.block;
    const PagerBlock *block = &pager->blocks[index];
    const ParkedPage parked = {
        .block = index,
        .page = page,
        .why = piece->why,
        .is_zero = piece->is_zero,
        .waited_for = piece->waited_for,
        .what = what,
        .error = error,
    };

    pthread_mutex_lock(&pager->lock);
    /* Sequentially consistent, as are taking the right to place a page and
     * looking at n_parked after placing it: either it is seen here that the
     * page is taken, or the one who places it sees that pages are parked. */
    atomic_fetch_add(&pager->n_parked, 1);
    bool is_wanted =
        piece->is_zero || page_states_is_owed(&block->states, page);
    if (is_wanted) {
        parked_add(pager->parked, &parked, piece->is_retry, monotonic_us());
    }
    note_parked_locked(pager);
    pthread_mutex_unlock(&pager->lock);
    if (!is_wanted && block->host != 0) {
        /* Whoever has taken it wakes; but it may have done so before the
         * touch that has brought us here. */
        block->placer.ops->wake(&block->placer,
                                block->host + page * block->unit_bytes,
                                block->unit_bytes);
    }
}

static bool is_placed(void *opaque, uint64_t page)
{
    return page_states_is_placed(opaque, page);
}

void pager_unpark(Pager *pager, size_t block, uint64_t first_page,
                  uint64_t n_pages)
{
    /* Sequentially consistent: see pager_park(). */
    if (atomic_load(&pager->n_parked) == 0) {
        return;
    }
    pthread_mutex_lock(&pager->lock);
    if (parked_remove_if(pager->parked, block, first_page, n_pages, is_placed,
                         &pager->blocks[block].states)) {
        note_parked_locked(pager);
    }
    pthread_mutex_unlock(&pager->lock);
}

void pager_unpark_zero(Pager *pager, size_t block, uint64_t page)
{
    /* Sequentially consistent: see pager_park(). */
    if (atomic_load(&pager->n_parked) == 0) {
        return;
    }
    pthread_mutex_lock(&pager->lock);
    if (parked_remove(pager->parked, block, page)) {
        note_parked_locked(pager);
    }
    pthread_mutex_unlock(&pager->lock);
}

void pager_end_retry(Pager *pager, size_t index, uint64_t page)
{
    const PagerBlock *block = &pager->blocks[index];

    pthread_mutex_lock(&pager->lock);
    if ((pager->attached && block->host == 0) ||
        (!parked_is_zero(pager->parked, index, page) &&
         page_states_is_placed(&block->states, page))) {
        parked_remove(pager->parked, index, page);
    } else {
        parked_put_back(pager->parked, index, page, monotonic_us());
    }
    note_parked_locked(pager);
    pthread_mutex_unlock(&pager->lock);
}

void pager_forget_unattached_locked(Pager *pager)
{
    for (size_t i = 0; i < pager->n_blocks; i++) {
        if (pager->blocks[i].host == 0) {
            parked_remove_block(pager->parked, i);
        }
    }
    note_parked_locked(pager);
}

/* ---- a snapshot that is changed ---- */

bool pager_check_source(Pager *pager)
{
    PageSource *source = pager->config.source;
    g_autoptr(GError) error = NULL;

    if (!source->check || source->check(source, &error)) {
        return true;
    }
    pthread_mutex_lock(&pager->lock);
    if (!pager->changed_text) {
        pager->changed_text = g_strdup(error->message);
        pager->tell_change = true;
    }
    /* Relaxed: who reads once more has read before. */
    atomic_store_explicit(&pager->is_void, true, memory_order_relaxed);
    pthread_cond_broadcast(&pager->changed);
    pthread_cond_broadcast(&pager->to_watch);
    pthread_mutex_unlock(&pager->lock);
    return false;
}

/* ---- telling ---- */

/* Only another process can fill a page that is registered and missing. */
static const char *reason_of(RamKind kind, const ParkedPage *page)
{
    bool lacks_room =
        page->error == ENOMEM && g_str_equal(page->what, "placing");

    if (page->error == EEXIST) {
        return "another process that maps this shared RAM has filled the "
               "page; load again without that process, or with --policy full";
    }
    if (lacks_room && ram_kind_is_hugetlb(kind)) {
        return "no reserved huge page is free for it; raise nr_hugepages "
               "(vm.nr_hugepages for those of 2 MiB), and try again";
    }
    if (lacks_room && kind == RAM_SHARED) {
        return "there is no memory for it: the tmpfs that this shared RAM's "
               "file is on (/dev/shm?) is full, or the host has no more; make "
               "room, and try again";
    }
    return g_strerror(page->error);
}

/* What has failed, and where. */
typedef struct Report {
    ParkedPage page;
    PagePlace place;
    RamKind kind; /* of the memory that it was to be placed in */
} Report;

/* The place is looked up under the lock, under which the page's number was
 * given: before memory is attached it may become one of units. */
static bool next_report_locked(Pager *pager, Report *ret_report)
{
    PageSource *source = pager->config.source;
    ParkedPage *page = &ret_report->page;

    if (!parked_next_report(pager->parked, page)) {
        return false;
    }
    const PageSpan one = {page->block, page->page, 1};
    PageSpan pages = pager_units_to_pages(pager, &one);
    source->describe(source, page->block, pages.first_page, &ret_report->place);
    ret_report->kind = pager->blocks[page->block].kind;
    return true;
}

static void tell_page(Pager *pager, const Report *report)
{
    const PagerCallbacks *callbacks = &pager->config.callbacks;
    const ParkedPage *page = &report->page;
    const PagerFailure failure = {
        .path = report->place.path,
        .off_bytes = report->place.off_bytes,
        .what = page->what,
        .error = page->error,
        .reason = reason_of(report->kind, page),
        .waited_for = page->waited_for,
    };
    if (callbacks->failed) {
        callbacks->failed(callbacks->opaque, &failure);
    }
}

static void tell_change(Pager *pager, const char *text)
{
    const PagerCallbacks *callbacks = &pager->config.callbacks;
    const PagerFailure failure = {
        .path = pager->config.source->name,
        .what = "checking",
        .error = ESTALE,
        .reason = text,
        .is_final = true,
    };

    if (callbacks->failed) {
        callbacks->failed(callbacks->opaque, &failure);
    }
}

static void tell_slow(Pager *pager, ReadSlot *slot, bool waited_for)
{
    const PagerCallbacks *callbacks = &pager->config.callbacks;
    PagePlace place;
    PageSpan span;
    uint64_t us;
    bool again;

    if (!read_slot_is_slow(slot, pager->config.slow_read_us, &span, &us,
                           &again)) {
        return;
    }
    if (!again) {
        load_stats_slow_read(pager->config.stats);
    }
    pager->config.source->describe(pager->config.source, span.block,
                                   span.first_page, &place);
    const PagerSlowRead slow = {
        .path = place.path,
        .off_bytes = place.off_bytes,
        .seconds = us / 1000000,
        .waited_for = waited_for,
    };
    if (callbacks->slow) {
        callbacks->slow(callbacks->opaque, &slow);
    }
}

static void tell_slow_reads(Pager *pager)
{
    if (pager->config.slow_read_us == 0) {
        return;
    }
    for (unsigned i = 0; i < pager_n_workers(pager); i++) {
        tell_slow(pager, &pager->fault_workers[i].slot, true);
    }
    for (unsigned i = 0; i < pager->config.n_eager_threads; i++) {
        tell_slow(pager, &pager->eager_threads[i].slot, false);
    }
}

/* Tell the next thing that has failed.  Returns false when there is none. */
static bool tell_next_failure(Pager *pager)
{
    Report report;

    pthread_mutex_lock(&pager->lock);
    /* Once a snapshot was changed, nothing else is worth a word. */
    bool has_page = next_report_locked(pager, &report) && !pager->changed_text;
    const char *change = pager->tell_change ? pager->changed_text : NULL;
    pager->tell_change = false;
    pthread_mutex_unlock(&pager->lock);
    if (change) {
        tell_change(pager, change);
    } else if (has_page && pager_check_source(pager)) {
        tell_page(pager, &report);
    }
    return change || has_page;
}

static uint64_t watch_us(const Pager *pager)
{
    uint64_t slow_us = pager->config.slow_read_us;

    return slow_us == 0 ? WATCH_US : MIN(WATCH_US, slow_us);
}

/* Whether there is something to tell, or nothing more ever. */
static bool is_to_wake_locked(const Pager *pager)
{
    return parked_has_report(pager->parked) || pager->tell_change ||
           pager->quit || pager->ended;
}

void *pager_watch_thread(void *opaque)
{
    Pager *pager = opaque;
    bool go_on = true;

    while (go_on) {
        pthread_mutex_lock(&pager->lock);
        if (!is_to_wake_locked(pager)) {
            clock_cond_wait_until(&pager->to_watch, &pager->lock,
                                  monotonic_us() + watch_us(pager));
        }
        go_on = !pager->quit && !pager->ended;
        pthread_mutex_unlock(&pager->lock);
        /* Also at the end: what was noted before it is told. */
        while (tell_next_failure(pager)) {
        }
        if (go_on) {
            tell_slow_reads(pager);
        }
    }
    return NULL;
}
