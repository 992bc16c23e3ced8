/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The eager threads' part of the pager: claim and read everything that nobody
 * waits for yet, the order's pages first.
 */
#include "plugin/pager/pager-eager.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "plugin/pager/pager-fail.h"
#include "plugin/pager/pager-guard.h"
#include "plugin/pager/pager-huge.h"
#include "plugin/pager/pager-observe.h"
#include "plugin/pager/pager-pack.h"
#include "plugin/pager/pager-placing.h"
#include "plugin/pager/pager-plan.h"
#include "plugin/pager/pager-read.h"
#include "plugin/pager/pager-state.h"
#include "profiler/orders/read-ahead.h"
#include "util/clock.h"

/* So much more is the nice value of who reads the rest, 19 at the most. */
#define REST_NICER 10
#define MAX_NICE   19

/* So many pages are parked at the most before nothing more is read ahead: this
 * is no bad sector, the storage is gone. */
#define MAX_PARKED 65536

typedef enum {
    JOB_PREPARE, /* the order */
    JOB_WARM,    /* what will be read soon */
    JOB_HUGE,    /* find out where there are huge pages */
    JOB_PLAN,    /* claim and read what the stage's plan gives */
    JOB_GUARD,   /* look at how the order does */
    JOB_HELD,    /* read a piece that was held back */
    JOB_PARKED,  /* try a page that has failed before */
    JOB_END,
} JobKind;

typedef struct Job {
    JobKind kind;
    PagerStage stage; /* these two: of a plan */
    bool attached;
    bool is_ahead; /* the guest does not run yet */
    Piece *piece;  /* to read into; NULL: to be made, staging */
    Piece *held;
    ParkedPage parked;
} Job;

/* ---- what to do ---- */

/* What is staged is read into pieces that are made as large as they have to
 * be. */
static bool is_staging_locked(const Pager *pager)
{
    return !pager->attached && !pager->warms;
}

/* Staging takes a CPU each, and QEMU, which is starting, needs one. */
static bool has_piece_locked(const Pager *pager)
{
    return is_staging_locked(pager)
               ? pager->n_pieces - pager->read.length < pager->max_staging
               : pager->spare.head != NULL;
}

static bool is_void_locked(const Pager *pager)
{
    return pager->changed_text != NULL;
}

/* A guest with a useless order waits for the rest, which then does not wait for
 * the guest. */
static bool gate_is_open_locked(Pager *pager, uint64_t *ret_again_us)
{
    return pager_guard_rest_is_wanted_locked(pager)
               ? rest_gate_limit_permits(pager->rest_gate, monotonic_us(),
                                         ret_again_us)
               : rest_gate_is_open(pager->rest_gate, monotonic_us(),
                                   ret_again_us);
}

/* Whether the rest need not stand back. */
static bool rest_may_go_locked(Pager *pager)
{
    uint64_t again_us;

    if (!pager->rest_gate || gate_is_open_locked(pager, &again_us)) {
        return true;
    }
    pager->gate_due_us = again_us;
    return false;
}

/* A stage ends when it has nothing more to claim; or as the guard tells. */
static PagerStage next_stage_locked(const Pager *pager)
{
    if (pager->stage > STAGE_TRIAL) {
        return pager->stage == STAGE_REST && pager->plan_is_out ? STAGE_DRAIN
                                                                : pager->stage;
    }
    PagerStage next = pager->stage == STAGE_ORDER && pager->plan_is_out
                          ? STAGE_REST
                          : pager_guard_stage_locked(pager);

    return next == STAGE_REST && pager->config.rest == LOAD_REST_DEMAND
               ? STAGE_DRAIN
               : next;
}

/* Whether an order asks for huge pages, of which nothing is known yet. */
static bool order_wants_huge_locked(const Pager *pager)
{
    return pager->stage == STAGE_ORDER && pager->attached &&
           pager->plan.is_dense && pager->huge == HUGE_NOT_KNOWN;
}

/* Whether an order need not wait: they are found out with nothing under way. */
static bool huge_is_settled_locked(const Pager *pager)
{
    return pager->huge != HUGE_BEING_FOUND &&
           !(order_wants_huge_locked(pager) && pager->n_pieces > 0);
}

static bool can_plan_locked(Pager *pager)
{
    if (pager->plan_is_out || is_void_locked(pager) ||
        parked_count(pager->parked) >= MAX_PARKED ||
        next_stage_locked(pager) != pager->stage) {
        return false;
    }
    switch (pager->stage) {
    case STAGE_ORDER:
        return pager->preparation == PREPARED &&
               huge_is_settled_locked(pager) &&
               (pager->attached ||
                pager->read_bytes < pager->config.max_staged_bytes);
    case STAGE_TRIAL:
        return pager_guard_may_try_locked(pager);
    case STAGE_REST:
        return pager->attached && pager->huge != HUGE_BEING_FOUND &&
               rest_may_go_locked(pager);
    case STAGE_DRAIN:
    case STAGE_DONE:
        break;
    }
    return false;
}

static bool can_read_held_locked(const Pager *pager)
{
    return pager->attached && pager->held.head &&
           pager->observation == OBSERVATION_DONE && !is_void_locked(pager);
}

static void enter_stage_locked(Pager *pager, PagerStage stage)
{
    pager->stage = stage;
    pager->plan_is_out = false;
    if (stage == STAGE_REST) {
        pager_guard_begin_rest_locked(pager);
    }
    pager_note_order_locked(pager);
    pthread_cond_broadcast(&pager->changed);
    pthread_cond_broadcast(&pager->to_place);
}

/* The stage ends once nothing is under way. */
static void end_stage_locked(Pager *pager)
{
    PagerStage next = next_stage_locked(pager);

    if (next != pager->stage && pager->n_pieces == 0 && pager->attached) {
        enter_stage_locked(pager, next);
    }
}

static bool is_recording_locked(const Pager *pager)
{
    return pager->config.observe.kind == OBSERVE_RECORDING &&
           !pager_is_observed_locked(pager);
}

/* The rest begins with finding out how it is to be placed. */
static JobKind plan_job_locked(Pager *pager)
{
    if (!pager->attached && pager->warms) {
        return JOB_WARM;
    }
    if (pager->huge != HUGE_NOT_KNOWN ||
        (pager->stage == STAGE_ORDER && !order_wants_huge_locked(pager))) {
        return JOB_PLAN;
    }
    pager->huge = HUGE_BEING_FOUND;
    return JOB_HUGE;
}

/* Sets *ret_job to what can be done now; false: nothing. */
static bool find_job_locked(Pager *pager, Job *ret_job)
{
    Job job = {.stage = pager->stage,
               .attached = pager->attached,
               .is_ahead = !pager->rest_is_released};

    pager->gate_due_us = UINT64_MAX;
    if (pager->quit || pager->stage == STAGE_DONE) {
        job.kind = JOB_END;
        *ret_job = job;
        return true;
    }
    if (!has_piece_locked(pager) || pager->is_regrouping) {
        return false;
    }
    if (parked_next_due(pager->parked, monotonic_us(), &job.parked)) {
        job.kind = JOB_PARKED;
    } else if (can_read_held_locked(pager)) {
        job.kind = JOB_HELD;
        job.held = g_queue_pop_head(&pager->held);
    } else if (pager_guard_is_due_locked(pager)) {
        job.kind = JOB_GUARD;
        pager->guard_looks = true;
    } else if (pager->preparation == NOT_PREPARED) {
        job.kind = JOB_PREPARE;
        pager->preparation = BEING_PREPARED;
    } else if (!is_recording_locked(pager) && can_plan_locked(pager)) {
        job.kind = plan_job_locked(pager);
    } else {
        return false;
    }
    job.piece =
        is_staging_locked(pager) ? NULL : g_queue_pop_head(&pager->spare);
    pager->n_pieces++;
    pager->n_warming += job.kind == JOB_WARM;
    *ret_job = job;
    return true;
}

static void wait_locked(Pager *pager)
{
    uint64_t due_us = MIN(parked_due_us(pager->parked), pager->gate_due_us);

    if (due_us == UINT64_MAX || !has_piece_locked(pager) ||
        pager->is_regrouping) {
        pthread_cond_wait(&pager->changed, &pager->lock);
    } else {
        clock_cond_wait_until(&pager->changed, &pager->lock, due_us);
    }
}

static void next_job(Pager *pager, Job *ret_job)
{
    pthread_mutex_lock(&pager->lock);
    for (;;) {
        end_stage_locked(pager);
        if (find_job_locked(pager, ret_job)) {
            break;
        }
        wait_locked(pager);
    }
    pthread_mutex_unlock(&pager->lock);
}

/* ---- doing it ---- */

/* The job's piece; or one with room for n_pages of block, NULL: out of
 * memory. */
static Piece *piece_of(Pager *pager, const Job *job, size_t block,
                       uint64_t n_pages)
{
    if (job->piece) {
        return job->piece;
    }
    Piece *piece = piece_new(n_pages * pager->blocks[block].unit_bytes);
    if (!piece) {
        /* What is staged already must do. */
        pthread_mutex_lock(&pager->lock);
        pager->config.max_staged_bytes = 0;
        pthread_mutex_unlock(&pager->lock);
    }
    return piece;
}

/* Where processors are scarce, what nobody has asked for yet gives way to the
 * guest that runs.  For good: to raise a thread again takes a privilege. */
static void give_way(EagerThread *self)
{
    if (!self->gives_way) {
        int nice = getpriority(PRIO_PROCESS, 0);

        /* Fails never for one's own thread; and it is but a courtesy. */
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(),
                          MIN(nice + REST_NICER, MAX_NICE));
        self->gives_way = true;
    }
}

/* A claimed piece is read, as far as it can be, and placed: here, for that is
 * the shortest way, or by a thread that has not given way. */
static void load_piece(EagerThread *self, const Job *job, Piece *piece)
{
    Pager *pager = self->pager;
    uint64_t begin_us = pager_pack_begin_read(pager);
    bool is_read =
        piece->is_zero || pager_read_ahead(pager, piece, &self->slot);

    pager_pack_end_read(pager, piece, begin_us);
    if (!is_read) {
        pager_put_piece(pager, piece);
        return;
    }
    if (piece->is_huge) {
        pager_huge_fill_holes(pager, piece);
    }
    if (job->attached && !self->gives_way) {
        pager_place_piece(pager, piece);
    } else {
        pager_hand_over(pager, piece);
    }
}

/* It is about to be read. */
static void note_rest(Pager *pager, const PageSpan *span)
{
    uint64_t n_bytes = span->n_pages * pager->blocks[span->block].unit_bytes;

    pthread_mutex_lock(&pager->lock);
    order_guard_note_claimed(&pager->guard, span->n_pages);
    if (pager->rest_gate) {
        rest_gate_note_read(pager->rest_gate, monotonic_us(), n_bytes);
    }
    pthread_mutex_unlock(&pager->lock);
}

static void run_prepare(Pager *pager, const Job *job)
{
    pager_plan_prepare(pager);
    pthread_mutex_lock(&pager->lock);
    pager->preparation = PREPARED;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
    pager_put_piece(pager, job->piece);
}

static void run_warm(EagerThread *self, const Job *job)
{
    Pager *pager = self->pager;
    PageSource *source = pager->config.source;
    Piece *piece = job->piece;
    bool is_out = true;

    if (pager_plan_next_to_warm(pager, &piece->read.span) == PLAN_SPAN) {
        read_slot_begin(&self->slot, &piece->read.span);
        source->warm(source, &piece->read);
        read_slot_end(&self->slot);
        load_stats_read(pager->config.stats, piece->read.bytes_read);
        is_out = false;
    }
    pthread_mutex_lock(&pager->lock);
    pager->plan_is_out = pager->plan_is_out || (is_out && !pager->attached);
    pager->n_warming--;
    pthread_mutex_unlock(&pager->lock);
    pager_put_piece(pager, piece);
}

static void give_huge_buffer(gpointer piece, gpointer huge_bytes)
{
    piece_renew_huge(piece, *(const uint64_t *)huge_bytes);
}

/* With the thread's first priority still, since this takes locks that a fault
 * may need.  No piece is under way but ours. */
static void run_huge(Pager *pager, const Job *job)
{
    uint64_t huge_bytes = pager_huge_find(pager);

    pthread_mutex_lock(&pager->lock);
    if (huge_bytes > 0) {
        give_huge_buffer(job->piece, &huge_bytes);
        g_queue_foreach(&pager->spare, give_huge_buffer, &huge_bytes);
    }
    pager->huge = HUGE_KNOWN;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
    pager_put_piece(pager, job->piece);
}

/* The plan is to come back for the span. */
static void leave(Pager *pager, const PageSpan *span, PlacedBy why)
{
    if (why == PLACED_BY_ORDER) {
        pager_plan_put_off(pager, span);
    } else {
        pager_plan_go_back(pager, span->block, span->first_page);
    }
    pthread_mutex_lock(&pager->lock);
    /* The stage has not ended: our piece is under way. */
    pager->plan_is_out = false;
    pthread_cond_broadcast(&pager->changed);
    pthread_mutex_unlock(&pager->lock);
}

/* Claim what is pending of the span: as a whole, where it is a huge page, in a
 * buffer that is to become the guest's.  Without memory for that, only what
 * the piece has room for. */
static bool claim(Pager *pager, Piece *piece, const PageSpan *span,
                  PlacedBy why)
{
    PagerBlock *block = &pager->blocks[span->block];
    PageSpan what_fits = *span;
    uint64_t max_pages = piece->buf_len_bytes / block->unit_bytes;

    if (span->n_pages <= max_pages) {
        return piece_claim(piece, &block->states, span, why);
    }
    if (piece->huge_map) {
        return piece_claim_huge(piece, &block->states, span, why);
    }
    what_fits.n_pages = max_pages;
    leave(pager,
          &(PageSpan){span->block, span->first_page + max_pages,
                      span->n_pages - max_pages},
          why);
    return piece_claim(piece, &block->states, &what_fits, why);
}

static void run_plan(EagerThread *self, const Job *job)
{
    Pager *pager = self->pager;
    PlacedBy why = job->stage == STAGE_ORDER ? PLACED_BY_ORDER : PLACED_BY_REST;
    Piece *piece = job->piece;
    PageSpan span;

    if (job->stage == STAGE_ORDER &&
        pager_pack_run(pager, piece, &self->slot)) {
        return;
    }
    PlanAnswer answer =
        pager_plan_next(pager, job->stage, job->attached, &span);

    if (answer == PLAN_OUT) {
        pthread_mutex_lock(&pager->lock);
        pager->plan_is_out = true;
        pthread_mutex_unlock(&pager->lock);
    } else if (answer == PLAN_SPAN) {
        if (job->stage == STAGE_REST) {
            give_way(self);
        }
        if (job->stage != STAGE_ORDER) {
            note_rest(pager, &span);
        }
        piece = piece_of(pager, job, span.block, span.n_pages);
        if (piece && claim(pager, piece, &span, why)) {
            load_piece(self, job, piece);
            return;
        }
    }
    pager_put_piece(pager, piece);
}

static void run_held(EagerThread *self, const Job *job)
{
    Piece *piece = job->piece;

    piece_take_over(piece, job->held);
    load_piece(self, job, piece);
}

static void run_parked(EagerThread *self, const Job *job)
{
    Pager *pager = self->pager;
    const ParkedPage *parked = &job->parked;
    Piece *piece = piece_of(pager, job, parked->block, 1);

    if (!piece) {
        pager_end_retry(pager, parked->block, parked->page);
        pager_put_piece(pager, NULL);
        return;
    }
    piece_set_page(piece, parked->block, parked->page, parked->why);
    piece->is_retry = true;
    piece->is_zero = parked->is_zero;
    piece->waited_for = parked->waited_for;
    load_piece(self, job, piece);
}

void *pager_eager_thread(void *opaque)
{
    EagerThread *self = opaque;
    Job job;

    for (;;) {
        next_job(self->pager, &job);
        switch (job.kind) {
        case JOB_PREPARE:
            run_prepare(self->pager, &job);
            break;
        case JOB_WARM:
            run_warm(self, &job);
            break;
        case JOB_HUGE:
            run_huge(self->pager, &job);
            break;
        case JOB_GUARD:
            pager_guard_look(self->pager);
            pager_put_piece(self->pager, job.piece);
            break;
        case JOB_PLAN:
            run_plan(self, &job);
            break;
        case JOB_HELD:
            run_held(self, &job);
            break;
        case JOB_PARKED:
            run_parked(self, &job);
            break;
        case JOB_END:
            return NULL;
        }
        if (job.is_ahead) {
            /* QEMU's own threads have to get the guest going. */
            sched_yield();
        }
    }
}
