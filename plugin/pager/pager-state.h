/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the pager's parts share:
 *
 *   pager.c          start and end
 *   pager-attach.c   taking over memory
 *   pager-map.c      the same where the source has memory to map
 *   pager-ahead.c    and what the guest will touch of that
 *   pager-regroup.c  the same where it is loaded in units (pager-units.c) that
 *   pager-whole.c    are larger than the source's pages, or as a whole
 *   pager-fault.c    the fault threads: what somebody waits for
 *   pager-eager.c    the eager threads: claim and read what nobody waits for
 *   pager-plan.c     what they read next
 *   pager-guard.c    whether the order is worth it
 *   pager-huge.c     which of it is placed in huge pages
 *   pager-pack.c     the order's pages from a pack
 *   pager-placing.c  the placing threads: place it, end the load
 *   pager-read.c     reading a piece
 *   pager-place.c    placing a piece
 *   pager-fail.c     what cannot be read or placed; the watching thread
 *   pager-observe.c  what a load can teach
 *   pager-check.c    whether QEMU has kept away from what is not its own
 *
 * Theory of operation
 *
 * pager_new() makes every page that is in the file pending (page-states.h)
 * and starts the threads.  One of the eager threads makes the order ready to be
 * replayed, and nobody waits for that: until then no page is known to be in the
 * order.  Eager threads claim pieces (piece.h), read them, and
 * place them or hand them to the placing threads by a queue.  Until
 * pager_attach() tells where the blocks are, the queue only fills, with pages
 * of the order: this is staging.  (A source that can warm them, as the kernel's
 * page cache does, has that done instead, which claims nothing: to fill memory
 * of our own costs the QEMU that starts meanwhile more than it saves.)
 * pager_attach() starts the fault threads,
 * registers the ranges with userfaultfd and discards what is in them; from then
 * on a first touch of a page makes a fault, and nothing else can fill a page.
 *
 * A fault means one of (checked in this sequence, each from PageStates):
 *   placed        the page is zero, or was discarded since: place zeroes
 *   pending       the fault thread claims it, reads it, places it
 *   in flight     it is in some piece; the guest does not wait for all of
 *                 that: the fault thread reads the page itself, and whoever
 *                 takes the right to place it first, does.  (A page whose
 *                 read is under way comes by that read: the kernel's page
 *                 cache has the second one wait for it.)
 *   being placed  the placer wakes everybody after it has set placed: the
 *                 fault needs nothing more
 *
 * No fault waits for anything that grows with an order or a guest, nor for a
 * thread of low priority: eager threads, which the rest is read by at a low
 * priority, hold claims, Plan.lock and Pager.lock, and a fault that is served
 * needs none of these.  Placing is for threads of ordinary priority: an eager
 * thread places what it reads until the rest begins, and nothing from then on.
 *
 * Where the source has the pages in memory of its own (PageSource.memory),
 * guest RAM is a private mapping of that.  A page that was read is then in the
 * page cache, and "placed" is a word for that: placing it is to wake who waits,
 * and whoever touches it later finds it without a fault.  It stays there when
 * the guest gives it back: removals mean nothing.  A fault on a page that is in
 * the file and placed was just overtaken: who waits is woken, never given
 * zeroes.
 *
 * A page that cannot be read or placed is parked in a list (parked.h), in
 * flight, and no thread waits for it: eager threads try it again when its
 * time comes.
 *
 * The stages of the eager threads (under Pager.lock):
 *   ORDER   replay the order; ends when all its pieces are placed or parked, or
 *           when it is abandoned (order-guard.h)
 *   TRIAL   some of the rest, to see how fast that is, with the threads'
 *           ordinary priority, so that they can go back to the order after it
 *   REST    everything else in the source's sequence, while the gate is open
 *           (rest-gate.h); ends when nothing is pending and no piece is under
 *           way
 *   DRAIN   nothing left to claim; waits for the fault threads' pages and for
 *           parked ones (with policy demand the eager threads begin here)
 *   DONE    n_unplaced is 0; one placing thread unregisters and ends the
 *           fault threads, the others end
 * While a recording is under way, all wait.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "plugin/pager/fault-loop.h"
#include "plugin/pager/order-guard.h"
#include "plugin/pager/pack-plan.h"
#include "plugin/pager/page-states.h"
#include "plugin/pager/pager-config.h"
#include "plugin/pager/parked.h"
#include "plugin/pager/piece.h"
#include "plugin/pager/placer.h"
#include "plugin/pager/ram-range.h"
#include "plugin/pager/read-watch.h"
#include "plugin/pager/rest-gate.h"
#include "profiler/orders/replay.h"

typedef enum {
    STAGE_ORDER,
    STAGE_TRIAL,
    STAGE_REST,
    STAGE_DRAIN,
    STAGE_DONE,
} PagerStage;

/* Its pages are the source's, or units of several of these (pager-units.h):
 * layout, states and all page numbers are of units then. */
typedef struct PagerBlock {
    const PageSourceBlock *layout; /* constant once a fault can come, as the
                                      next four */
    uint64_t unit_bytes;           /* what it is loaded and placed in … */
    uint64_t unit_pages;           /* … and the source's pages in it */
    PageSourceBlock in_units;      /* what layout is where these are several */
    bool is_whole; /* pager_attach() itself loads it, and nobody else */
    PageStates states;
    _Atomic(uint64_t *)
        in_order;  /* a bit for each of the source's pages, whether the order
                      has it; NULL: no order, or it is not prepared yet */
    uint64_t host; /* 0: not attached; constant once a fault can come, as
                      the next two */
    RamKind kind;
    RamHugePages huge_page; /* where the kind is of such */
    Placer placer;
    uint64_t huge_pages; /* 0: not placed in huge pages; else so many pages are
                            one.  Constant once Pager.huge is HUGE_KNOWN */
    bool registered;     /* set by pager_attach() and pager_give_back() */
} PagerBlock;

/* A fault thread's own, or one's that calls pager_fetch(). */
typedef struct FaultWorker {
    void *buf; /* of Pager.max_unit_bytes, or more */
    uint64_t buf_len_bytes;
    ReadSlot slot;
} FaultWorker;

typedef struct EagerThread {
    Pager *pager;
    ReadSlot slot;
    bool gives_way; /* runs at a lower priority; its own */
    pthread_t thread;
} EagerThread;

/* What is read next; for eager threads alone. */
typedef struct Plan {
    pthread_mutex_t lock;  /* guards all below */
    GQueue again;          /* of PageSpan: these first, of the order */
    Replay *replay;        /* NULL: no order, or it is not prepared yet, or it
                              is at its end */
    bool is_warming;       /* the replay gives what is to be warmed, and will
                              begin anew … */
    uint64_t warmed_bytes; /* … of which it has given so much */
    PackPlan pack;
    size_t rest_block; /* where the rest goes on: index into sequence */
    uint64_t rest_page;
    size_t *sequence; /* constant: the blocks as the source likes them */
    PageOrder *order; /* what the replay is to be made of; NULL: nothing, or
                         it is made.  For who prepares it, without the lock … */
    bool is_dense; /* … as this, whether it is loaded in huge pages where it
                      has most of them.  Constant once it is prepared */
} Plan;

/* The order of a load, which an eager thread makes ready to be replayed: a
 * large one takes its time, and nobody is to wait for a hint. */
typedef enum {
    PREPARED, /* or there is none */
    NOT_PREPARED,
    BEING_PREPARED,
} Preparation;

/* Which blocks have huge pages: found out when the rest begins, or an order
 * that asks for it. */
typedef enum {
    HUGE_NOT_KNOWN,
    HUGE_BEING_FOUND,
    HUGE_KNOWN,
} HugeKnowledge;

typedef enum {
    OBSERVATION_NONE,
    OBSERVATION_ON,
    OBSERVATION_ENDING, /* no more notes; the callback runs */
    OBSERVATION_DONE,
} ObservationState;

struct Pager {
    PagerConfig
        config; /* constant, but max_staged_bytes and rest: under lock */
    char *name; /* constant: the source's, for who waits though it has gone */
    size_t n_blocks;    /* constant: the source's */
    PagerBlock *blocks; /* one for each of the source's; constant but for
                           the bits and what pager_attach() sets */
    bool has_order;     /* constant: there is one to be replayed */
    PagerBlock **attached_blocks; /* by address; set by pager_attach() before
                                     a fault can come, as the next four */
    size_t n_attached_blocks;
    int uffd;
    bool can_move;  /* UFFDIO_MOVE, of huge pages too */
    bool discarded; /* memory may have been discarded */
    FaultLoop *fault_loop;
    uint64_t page_bytes;     /* constant: of the host's pages */
    uint64_t max_unit_bytes; /* the largest of all blocks that are loaded
                                lazily; constant as PagerBlock.layout */
    void *zeroes;            /* as many; NULL: nobody needs them */
    FaultWorker *fault_workers;
    EagerThread *eager_threads;
    unsigned n_eager_started;
    pthread_t *place_threads;
    unsigned n_place_started;
    pthread_t watch_thread;
    bool watch_started;
    pthread_t ahead_thread; /* started when memory is attached */
    bool ahead_started;

    Plan plan; /* its lock comes before lock */

    pthread_mutex_t lock;    /* guards all down to the next lock; see also
                                observation */
    pthread_cond_t changed;  /* for eager threads and whoever waits from
                                outside */
    pthread_cond_t to_place; /* for placing threads: there is something, or it
                                is over */
    pthread_cond_t to_watch; /* for the watching thread: the same */
    PagerStage stage;
    bool attached;
    bool is_regrouping; /* nobody begins a piece: pager-regroup.h */
    bool quit;
    bool finished;     /* loaded, and all fault threads have ended … */
    bool ended;        /* … and callbacks.loaded() has returned, unless the
                          snapshot was changed */
    bool released;     /* what only loading needs is being freed */
    unsigned n_inside; /* threads that use it, which that waits for */
    Preparation preparation;
    HugeKnowledge huge;
    bool warms;                /* constant: before pager_attach(), the order's
                                  pages are warmed (PageSource.warm), and not
                                  staged */
    unsigned max_staging;      /* constant: so many threads stage at a time */
    bool plan_is_out;          /* the stage has nothing more to claim, or there
                                  is nothing more to be warmed */
    RestGate *rest_gate;       /* NULL: the rest waits for nothing */
    bool rest_is_released;     /* see pager_release_rest() */
    uint64_t gate_due_us;      /* when to ask it again, where it is closed; else
                                  UINT64_MAX */
    uint64_t observe_until_us; /* once attached */
    GQueue held; /* of Piece, claimed and without a buffer: held back until
                    the observation is over; constant while it is on */
    GQueue read; /* of Piece: to be placed */
    uint64_t read_bytes; /* of their buffers */
    unsigned n_pieces;   /* that are under way, from before they are claimed
                            until they are placed or given up … */
    unsigned
        n_warming; /* … and of these, those that warm: they claim nothing */
    GQueue spare;  /* of Piece, of piece_bytes each: those that are not
                      under way */
    uint64_t piece_bytes;
    unsigned max_spare; /* constant */
    Parked *parked;
    bool failed; /* a page has failed for good, and some are still parked */
    bool order_is_in; /* the order's pages: all, or there is no order, or it
                         was abandoned */
    OrderGuard guard;
    bool guard_looks;   /* an eager thread looks how the order does */
    char *changed_text; /* the snapshot was changed: in words; NULL: not */
    bool tell_change;

    pthread_mutex_t observe_lock; /* for noting a touch, and with lock for
                                     setting observation */
    _Atomic ObservationState observation;

    _Atomic uint64_t n_unplaced;    /* pages of attached blocks not placed */
    _Atomic uint64_t last_fault_us; /* when a demand fault came last */
    _Atomic bool heeds_removals;    /* see pager_heed_removals() */
    _Atomic uint64_t last_touch;    /* of a page of the order: pager-plan.h */
    _Atomic uint64_t n_misses;      /* pages that somebody waited for, which
                                       the order lacks, if there is one … */
    _Atomic uint64_t n_late;        /* … and has */
    _Atomic size_t n_parked;        /* at least as many as parked has */
    _Atomic bool is_void;           /* the snapshot was changed: nothing more
                                       is read */
};

/* The fault threads' workers, and behind them those of pager_fetch(). */
static inline unsigned pager_n_workers(const Pager *pager)
{
    return pager->config.n_fault_threads + pager->config.n_fetchers;
}
