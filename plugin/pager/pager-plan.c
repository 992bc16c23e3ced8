/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/pager-plan.h"

#include "plugin/pager/order-density.h"
#include "plugin/pager/pager-huge.h"
#include "plugin/pager/pager-units.h"
#include "profiler/orders/read-ahead.h"
#include "util/clock.h"

/* What is looked at in one go, with the lock held: spans of the order, and
 * pages of the rest. */
#define MAX_SPANS UINT64_C(256)
#define MAX_PAGES (UINT64_C(1) << 20)

/* What an order's density is judged by before it is known what huge pages a
 * block has. */
#define HUGE_BYTES (UINT64_C(2) << 20)

/* Pager.last_touch: 0 is none, else block and page in one, for one atomic
 * exchange.  A block or a page beyond this is left out: it is a hint. */
#define PAGE_BITS 44

/* A block whose pages are not of the host's size cannot be attached, and no
 * piece has room for so many of them: the replay is to know none of it. */
static Replay *new_replay(const Pager *pager, const PageOrder *order)
{
    const PageSource *source = pager->config.source;
    g_autofree ReplayBlock *blocks = g_new(ReplayBlock, source->n_blocks);

    for (size_t i = 0; i < source->n_blocks; i++) {
        const PageSourceBlock *block = &source->blocks[i];

        blocks[i] = (ReplayBlock){
            .name = block->name,
            .page_bytes = block->page_bytes,
            .n_pages =
                block->page_bytes == pager->page_bytes ? block->n_pages : 0,
            .bitmap = block->bitmap,
        };
    }
    return replay_new(order, blocks, source->n_blocks);
}

void pager_plan_init(Pager *pager, PageOrder *order)
{
    Plan *plan = &pager->plan;

    plan->sequence = g_new0(size_t, pager->n_blocks);
    pager->config.source->sequence(pager->config.source, plan->sequence);
    if (!order) {
        return;
    }
    plan->order = order;
    /* What comes from a pack is worth being unpacked before. */
    pager->warms = pager->config.source->warm && !pager->config.pack;
    plan->is_warming = pager->warms;
    pack_plan_init(&plan->pack, pager->config.pack, pager->config.pack_always);
    if (pager->config.pack) {
        load_stats_pack_used(pager->config.stats,
                             plan->pack.state == PACK_IN_USE);
    }
}

/* The bits of those of the source's pages that the replay has.  Returns whether
 * most of them lie close to each other. */
static bool mark_pages(Pager *pager, const Replay *replay)
{
    const PageSource *source = pager->config.source;
    OrderDensity density = {0};

    for (size_t i = 0; i < pager->n_blocks; i++) {
        const PageSourceBlock *block = &source->blocks[i];
        /* Without it the block's faults do not steer: a hint as well. */
        uint64_t *in_order = g_try_new0(uint64_t, block->n_pages / 64 + 1);

        if (in_order) {
            replay_mark_pages(replay, i, in_order);
            order_density_add(&density, in_order, block->bitmap, block->n_pages,
                              HUGE_BYTES / block->page_bytes);
        }
        /* Release: who sees it sees the bits. */
        atomic_store_explicit(&pager->blocks[i].in_order, in_order,
                              memory_order_release);
    }
    return order_density_most_is_dense(&density);
}

void pager_plan_prepare(Pager *pager)
{
    Plan *plan = &pager->plan;
    Replay *replay = new_replay(pager, plan->order);

    g_clear_pointer(&plan->order, page_order_free);
    /* A pack may bring its pages for less. */
    plan->is_dense = mark_pages(pager, replay) && !pager->config.pack;
    pthread_mutex_lock(&plan->lock);
    plan->replay = replay;
    pthread_mutex_unlock(&plan->lock);
}

static uint64_t *in_order_of(const PagerBlock *block)
{
    /* Acquire: its bits are seen too. */
    return atomic_load_explicit(&block->in_order, memory_order_acquire);
}

void pager_plan_clear(Pager *pager)
{
    for (size_t i = 0; pager->blocks && i < pager->n_blocks; i++) {
        g_free(in_order_of(&pager->blocks[i]));
        atomic_init(&pager->blocks[i].in_order, NULL);
    }
    g_clear_pointer(&pager->plan.order, page_order_free);
    g_clear_pointer(&pager->plan.replay, replay_free);
    pack_plan_clear(&pager->plan.pack);
    g_clear_pointer(&pager->plan.sequence, g_free);
    g_queue_clear_full(&pager->plan.again, g_free);
}

void pager_plan_put_off_locked(Pager *pager, const PageSpan *span)
{
    PageSpan *again = g_new(PageSpan, 1);

    *again = *span;
    g_queue_push_head(&pager->plan.again, again);
}

void pager_plan_put_off(Pager *pager, const PageSpan *span)
{
    pthread_mutex_lock(&pager->plan.lock);
    pager_plan_put_off_locked(pager, span);
    pthread_mutex_unlock(&pager->plan.lock);
}

/* Whether the guest waits for faults. */
static bool is_busy(const Pager *pager)
{
    /* Relaxed: a hint. */
    uint64_t last_us =
        atomic_load_explicit(&pager->last_fault_us, memory_order_relaxed);

    return last_us != 0 && monotonic_us() - last_us < READ_AHEAD_BUSY_US;
}

static uint64_t count_faults(const Pager *pager)
{
    /* Relaxed: hints. */
    return atomic_load_explicit(&pager->n_misses, memory_order_relaxed) +
           atomic_load_explicit(&pager->n_late, memory_order_relaxed);
}

uint64_t pager_plan_piece_bytes(const Pager *pager)
{
    return is_busy(pager) ? read_ahead_busy_bytes(READ_AHEAD_BUSY_PIECE_BYTES,
                                                  READ_AHEAD_PIECE_BYTES,
                                                  count_faults(pager))
                          : READ_AHEAD_PIECE_BYTES;
}

/* Whether the guest is at so many pages that it would come to those of a huge
 * page while that is read.  The huge page would have been for nothing then: it
 * cannot be moved to where one of its pages is already. */
static bool is_all_over(const Pager *pager)
{
    return is_busy(pager) && count_faults(pager) >= READ_AHEAD_BUSY_FAULTS;
}

static bool has_pending(const PagerBlock *block, const PageSpan *span)
{
    uint64_t end = span->first_page + span->n_pages;

    return page_states_next_pending(&block->states, span->first_page, end) <
           end;
}

/* What lies between the order's pages is read along with them.  Once they come
 * from the pack, it is not worth a read. */
static bool is_worth_reading_locked(const Pager *pager, const PageSpan *span)
{
    const PagerBlock *block = &pager->blocks[span->block];
    uint64_t end = span->first_page + span->n_pages;

    if (!pack_plan_is_of_use(&pager->plan.pack) || !in_order_of(block)) {
        return has_pending(block, span);
    }
    for (uint64_t page = span->first_page; page < end; page++) {
        page = page_states_next_pending(&block->states, page, end);
        if (page < end && pager_plan_has(pager, span->block, page)) {
            return true;
        }
    }
    return false;
}

/* Which of the source's pages in page is the first that the order has; false:
 * none. */
static bool first_of_order(const Pager *pager, size_t index, uint64_t page,
                           uint64_t *ret_page)
{
    const uint64_t *in_order = in_order_of(&pager->blocks[index]);
    const PageSpan one = {index, page, 1};
    PageSpan span = pager_units_to_pages(pager, &one);
    uint64_t end = span.first_page + span.n_pages;

    for (uint64_t i = span.first_page; in_order && i < end; i++) {
        if ((in_order[i / 64] >> (i % 64)) & 1) {
            *ret_page = i;
            return true;
        }
    }
    return false;
}

void pager_plan_steer_locked(Pager *pager)
{
    /* Relaxed: the page itself is all that is handed over. */
    uint64_t touch =
        atomic_exchange_explicit(&pager->last_touch, 0, memory_order_relaxed);

    if (touch != 0) {
        size_t block = (touch >> PAGE_BITS) - 1;
        uint64_t page = touch & ((UINT64_C(1) << PAGE_BITS) - 1);

        (void)first_of_order(pager, block, page, &page);
        if (pager->plan.replay) {
            replay_steer(pager->plan.replay, block, page);
        }
        pack_plan_steer(&pager->plan.pack, block, page);
    }
}

/* What is next of the order; false: it is at its end. */
static bool next_span_locked(Pager *pager, PageSpan *ret_span)
{
    Plan *plan = &pager->plan;
    g_autofree PageSpan *again = g_queue_pop_head(&plan->again);
    PageSpan span;

    if (again) {
        span = *again;
    } else if (!plan->replay) {
        return false;
    } else if (replay_next(plan->replay,
                           pager_plan_piece_bytes(pager) / pager->page_bytes,
                           &span)) {
        span = pager_units_of_pages(pager, &span);
    } else {
        g_clear_pointer(&plan->replay, replay_free);
        return false;
    }
    if (span.n_pages > 1 && pager->blocks[span.block].unit_pages > 1) {
        /* A piece has room for one. */
        pager_plan_put_off_locked(
            pager,
            &(PageSpan){span.block, span.first_page + 1, span.n_pages - 1});
        span.n_pages = 1;
    }
    *ret_span = span;
    return true;
}

/* What is to be claimed at page, which is pending: a whole huge page, or a
 * piece that takes nothing of the next one. */
static PageSpan piece_at(const Pager *pager, size_t index, uint64_t page)
{
    const PagerBlock *block = &pager->blocks[index];
    /* Once: MIN() would ask twice, and time goes by in between. */
    uint64_t n_bytes = pager_plan_piece_bytes(pager);
    uint64_t n_pages = MAX(n_bytes / block->unit_bytes, 1);

    if (block->huge_pages > 0) {
        uint64_t first_page = page - page % block->huge_pages;

        if (!is_all_over(pager) && pager_huge_fits(block, first_page)) {
            return (PageSpan){index, first_page, block->huge_pages};
        }
        n_pages = MIN(n_pages, first_page + block->huge_pages - page);
    }
    return (PageSpan){index, page, MIN(n_pages, block->layout->n_pages - page)};
}

/* Whether the huge page that page is in is one that order-density.h tells of.
 */
static bool is_dense_at(const PagerBlock *block, uint64_t page)
{
    const uint64_t *in_order = in_order_of(block);
    uint64_t first_page = page - page % block->huge_pages;

    return in_order &&
           first_page + block->huge_pages <= block->layout->n_pages &&
           order_density_is_high(in_order, block->layout->bitmap, first_page,
                                 block->huge_pages);
}

/* Put all that is near in the span's place, where that is as quickly read. */
static void widen_locked(Pager *pager, PageSpan *span)
{
    const PagerBlock *block = &pager->blocks[span->block];
    uint64_t end = page_span_end(span);
    uint64_t page =
        page_states_next_pending(&block->states, span->first_page, end);

    if (!pager->plan.is_dense || block->huge_pages == 0 || page == end ||
        !is_dense_at(block, page)) {
        return;
    }
    *span = piece_at(pager, span->block, page);
    if (page_span_end(span) < end) {
        pager_plan_put_off_locked(pager,
                                  &(PageSpan){span->block, page_span_end(span),
                                              end - page_span_end(span)});
    }
}

static PlanAnswer next_of_order_locked(Pager *pager, bool attached,
                                       PageSpan *ret_span)
{
    pager_plan_steer_locked(pager);
    for (uint64_t i = 0; i < MAX_SPANS; i++) {
        PageSpan span;

        if (!next_span_locked(pager, &span)) {
            return PLAN_OUT;
        }
        const PagerBlock *block = &pager->blocks[span.block];
        bool is_loadable = attached
                               ? block->host != 0
                               : block->layout->page_bytes == block->unit_bytes;
        if (is_loadable && is_worth_reading_locked(pager, &span)) {
            widen_locked(pager, &span);
            *ret_span = span;
            return PLAN_SPAN;
        }
    }
    return PLAN_MORE;
}

PlanAnswer pager_plan_next_to_warm(Pager *pager, PageSpan *ret_span)
{
    Plan *plan = &pager->plan;
    PlanAnswer answer = PLAN_OUT;

    pthread_mutex_lock(&plan->lock);
    if (plan->is_warming &&
        plan->warmed_bytes < pager->config.max_staged_bytes &&
        replay_next(plan->replay, READ_AHEAD_PIECE_BYTES / pager->page_bytes,
                    ret_span)) {
        plan->warmed_bytes +=
            ret_span->n_pages *
            pager->config.source->blocks[ret_span->block].page_bytes;
        answer = PLAN_SPAN;
    }
    pthread_mutex_unlock(&plan->lock);
    return answer;
}

void pager_plan_end_warming(Pager *pager)
{
    pthread_mutex_lock(&pager->plan.lock);
    if (pager->plan.is_warming) {
        if (pager->plan.replay) {
            replay_rewind(pager->plan.replay);
        }
        pager->plan.is_warming = false;
    }
    pthread_mutex_unlock(&pager->plan.lock);
}

static PlanAnswer next_of_rest_locked(Pager *pager, PageSpan *ret_span)
{
    Plan *plan = &pager->plan;
    uint64_t n_left = MAX_PAGES;

    while (plan->rest_block < pager->n_blocks) {
        size_t index = plan->sequence[plan->rest_block];
        const PagerBlock *block = &pager->blocks[index];
        uint64_t n_pages = block->host != 0 ? block->layout->n_pages : 0;

        if (plan->rest_page >= n_pages) {
            plan->rest_block++;
            plan->rest_page = 0;
            continue;
        }
        if (n_left == 0) {
            return PLAN_MORE;
        }
        uint64_t end = MIN(n_pages, plan->rest_page + n_left);
        uint64_t page =
            page_states_next_pending(&block->states, plan->rest_page, end);
        n_left -= page - plan->rest_page;
        plan->rest_page = page;
        if (page < end) {
            *ret_span = piece_at(pager, index, page);
            plan->rest_page = ret_span->first_page + ret_span->n_pages;
            return PLAN_SPAN;
        }
    }
    return PLAN_OUT;
}

PlanAnswer pager_plan_next(Pager *pager, PagerStage stage, bool attached,
                           PageSpan *ret_span)
{
    pthread_mutex_lock(&pager->plan.lock);
    PlanAnswer answer = stage == STAGE_ORDER
                            ? next_of_order_locked(pager, attached, ret_span)
                            : next_of_rest_locked(pager, ret_span);
    pthread_mutex_unlock(&pager->plan.lock);
    return answer;
}

void pager_plan_go_back(Pager *pager, size_t block, uint64_t page)
{
    Plan *plan = &pager->plan;
    size_t at = 0;

    pthread_mutex_lock(&plan->lock);
    while (plan->sequence[at] != block) {
        at++;
    }
    if (plan->rest_block > at) {
        plan->rest_block = at;
        plan->rest_page = page;
    } else {
        plan->rest_page = MIN(plan->rest_page, page);
    }
    pthread_mutex_unlock(&plan->lock);
}

/* The block's pending pages; *ret_in_order: those that the order has. */
static uint64_t count_pending(const Pager *pager, size_t index,
                              uint64_t *ret_in_order)
{
    const PagerBlock *block = &pager->blocks[index];
    uint64_t n_pages = block->layout->n_pages;
    uint64_t n = 0;

    if (block->unit_pages == 1) {
        return page_states_count_all_pending(&block->states, in_order_of(block),
                                             ret_in_order);
    }
    *ret_in_order = 0;
    for (uint64_t page = 0; page < n_pages; page++) {
        page = page_states_next_pending(&block->states, page, n_pages);
        if (page < n_pages) {
            n++;
            *ret_in_order += pager_plan_has(pager, index, page);
        }
    }
    return n;
}

void pager_plan_count(const Pager *pager, uint64_t *ret_all_pages,
                      uint64_t *ret_order_pages)
{
    uint64_t all_pages = 0;
    uint64_t order_pages = 0;

    for (size_t i = 0; i < pager->n_blocks; i++) {
        const PagerBlock *block = &pager->blocks[i];
        uint64_t in_order;

        if (block->host != 0 && in_order_of(block)) {
            all_pages += count_pending(pager, i, &in_order);
            order_pages += in_order;
        }
    }
    *ret_all_pages = all_pages;
    *ret_order_pages = order_pages;
}

bool pager_plan_has(const Pager *pager, size_t block, uint64_t page)
{
    uint64_t first_page;

    return first_of_order(pager, block, page, &first_page);
}

void pager_plan_leave_word(Pager *pager, size_t block, uint64_t page)
{
    if (block + 1 < UINT64_C(1) << (64 - PAGE_BITS) &&
        page < UINT64_C(1) << PAGE_BITS) {
        /* Relaxed: see pager_plan_steer_locked(). */
        atomic_store_explicit(&pager->last_touch,
                              ((uint64_t)(block + 1) << PAGE_BITS) | page,
                              memory_order_relaxed);
    }
}
