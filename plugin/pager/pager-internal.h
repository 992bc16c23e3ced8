/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the pager's parts share: pager.c (start and end), pager-attach.c
 * (taking over memory), pager-place.c (reading and placing), pager-fault.c
 * (the fault threads), pager-eager.c (the eager threads) and pager-learn.c
 * (what a load can teach).
 *
 * Theory of operation
 *
 * pager_new() makes every page that is in the file pending (page-states.h)
 * and starts the eager threads.  Until pager_attach() tells where the blocks
 * are, these claim pages of the order and keep what they read in staged
 * pieces.  pager_attach() registers the ranges with userfaultfd, discards
 * what is in them and starts the fault threads; from then on a first touch of
 * a page makes a fault, and nothing else can fill a page.
 *
 * A fault means one of (checked in this sequence, each from PageStates):
 *   placed        the page is zero, or was discarded since: place zeroes
 *   pending       the fault thread claims it, reads it, places it
 *   in flight     an eager thread has claimed it; the guest does not wait for
 *                 all of that piece: the fault thread reads the page itself,
 *                 and whoever takes the right to place it first, does.  (A
 *                 page whose read is under way comes by that read: the
 *                 kernel's page cache has the second one wait for it.)
 *   being placed  the placer wakes everybody after it has set placed: the
 *                 fault needs nothing more
 *
 * The stages of the eager threads (under Pager.lock):
 *   ORDER   replay the order; ends when all its pieces are placed
 *   REST    everything else in file order; ends when nothing is pending
 *   DRAIN   nothing left to claim; waits for the fault threads' pages (with
 *           policy demand this is where the eager threads begin)
 *   DONE    n_unplaced is 0; one eager thread unregisters and ends the
 *           fault threads, the others end
 * While a recording is under way, all wait (NOTING_ON).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "plugin/pager/fault-loop.h"
#include "plugin/pager/page-states.h"
#include "plugin/pager/pager.h"
#include "profiler/orders/replay.h"

typedef enum {
    STAGE_ORDER,
    STAGE_REST,
    STAGE_DRAIN,
    STAGE_DONE,
} PagerStage;

typedef struct PagerBlock {
    const RamImageBlock *layout;
    PageStates states;
    uint64_t host; /* 0: not attached; constant once a fault can come */
    RamKind kind;
    GArray *registered; /* of RegisteredRange */
} PagerBlock;

typedef struct RegisteredRange {
    uint64_t start;
    uint64_t len_bytes;
} RegisteredRange;

/* Pages that were claimed and read before there was a place for them. */
typedef struct StagedPiece {
    size_t block;
    uint64_t first_page; /* the page at buf */
    PageWindow window;
    uint64_t len_bytes;
    void *buf;
} StagedPiece;

typedef struct EagerThread {
    Pager *pager;
    void *buf;      /* of READ_AHEAD_PIECE_BYTES; this and the next: its own */
    bool gives_way; /* runs at a lower priority */
    pthread_t thread;
} EagerThread;

/* Of recording (the eager threads wait, first touches are noted) and of
 * learning (they do not, demand faults are noted). */
typedef enum {
    NOTING_NONE,
    NOTING_ON,
    NOTING_ENDING, /* no more notes; the callback runs */
    NOTING_DONE,
} NotingState;

typedef struct Noting {
    NotingState state;
    uint64_t until_us; /* once attached */
} Noting;

/* Pages that are claimed until the learning ends. */
typedef struct HeldPiece {
    size_t block;
    PageWindow window;
} HeldPiece;

struct Pager {
    PagerConfig config;  /* constant, but max_staged_bytes: under lock */
    uint64_t page_bytes; /* constant: the host's page size */
    PagerBlock *blocks;  /* one for each of the snapshot's; constant but for
                            the bits and what pager_attach() sets */
    int uffd;            /* set by pager_attach() */
    bool discarded;      /* the same: memory may have been discarded */
    FaultLoop *fault_loop;
    GArray *held;     /* of HeldPiece; constant until the learning is over,
                         then of the eager thread that releases them */
    void *fault_bufs; /* one page for each fault thread */
    EagerThread *eager_threads;
    unsigned n_eager_started;

    pthread_mutex_t lock; /* guards all down to the atomics */
    pthread_cond_t changed;
    PagerStage stage;
    bool attached;
    bool quit;
    bool finished; /* loaded, and all fault threads have ended … */
    bool told;     /* … and callbacks.loaded() has returned */
    Noting recording;
    Noting learning;
    bool released; /* what was held back is being loaded, or is */
    bool failed;
    uint64_t retries;  /* counts pager_retry() */
    unsigned n_busy;   /* eager threads that hold claims */
    Replay *replay;    /* NULL: no order */
    size_t rest_block; /* where the rest goes on: index into by_offset */
    uint64_t rest_page;
    size_t *by_offset; /* blocks in the file's sequence */
    GQueue staged;     /* of StagedPiece */
    uint64_t staged_bytes;

    _Atomic uint64_t n_unplaced;    /* pages of attached blocks not placed */
    _Atomic uint64_t last_fault_us; /* when a demand fault came last */
};

/* pager-place.c */

/* Read pages of a block into buf; tries again, and at last waits for
 * pager_retry().  Returns false when the pager ends. */
bool pager_read(Pager *pager, size_t block, uint64_t first_page,
                uint64_t n_pages, void *buf);

/* Place the window's pages that nobody else has taken; buf has the page
 * first_page and those that follow it.  Wakes who waits for them.  Returns
 * false when the pager ends. */
bool pager_place(Pager *pager, size_t block, PageWindow *window,
                 const void *buf, uint64_t first_page, PlacedBy by);

/* Place a page of zeroes unless one is there, and wake who waits. */
void pager_place_zero(Pager *pager, size_t block, uint64_t page);

/* pager-learn.c: claim some of the order's pages, so that they are not
 * prefetched; note which of them nobody has touched; load these, with buf for
 * READ_AHEAD_BUSY_PIECE_BYTES. */
void pager_hold_back(Pager *pager, const PageOrder *order);
void pager_note_unused(Pager *pager);
void pager_release_held(Pager *pager, void *buf);

/* pager-fault.c: a FaultHandler; opaque is the Pager. */
void pager_handle_fault(void *opaque, unsigned worker, const UffdFault *fault);

/* pager-eager.c: a thread; opaque is its EagerThread. */
void *pager_eager_thread(void *opaque);

/* pager-eager.c: free what was read ahead and never placed. */
void pager_free_staged(Pager *pager);

/* pager-attach.c: unregister everything, end the fault threads, close the
 * userfaultfd; also after half an attach. */
void pager_give_back(Pager *pager);

/* pager.c: every page is in; unregister and end the fault threads. */
void pager_finish(Pager *pager);
