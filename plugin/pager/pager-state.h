/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the pager's parts share: pager.c (start and end), pager-attach.c
 * (taking over memory), pager-place.c (reading and placing), pager-fault.c
 * (the fault threads), pager-removal.c (memory that is given back),
 * pager-eager.c (the eager threads) and pager-observe.c (what a load can
 * teach).
 *
 * Theory of operation
 *
 * pager_new() makes every page that is in the file pending (page-states.h)
 * and starts the eager threads.  Until pager_attach() tells where the blocks
 * are, these claim pages of the order and keep what they read in staged
 * pieces (piece.h).  pager_attach() starts the fault threads, registers the
 * ranges with userfaultfd and discards what is in them; from then on a first
 * touch of a page makes a fault, and nothing else can fill a page.
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
#include "plugin/pager/page-states.h"
#include "plugin/pager/pager-config.h"
#include "plugin/pager/piece.h"
#include "plugin/pager/placer.h"
#include "plugin/pager/ram-range.h"
#include "profiler/orders/replay.h"

typedef enum {
    STAGE_ORDER,
    STAGE_REST,
    STAGE_DRAIN,
    STAGE_DONE,
} PagerStage;

typedef struct PagerBlock {
    const PageSourceBlock *layout;
    uint64_t unit_bytes; /* what it is loaded and placed in */
    PageStates states;
    uint64_t host; /* 0: not attached; constant once a fault can come, as the
                      next two */
    RamKind kind;
    Placer placer;
    bool registered; /* set by pager_attach() and pager_give_back() */
} PagerBlock;

typedef struct EagerThread {
    Pager *pager;
    Piece *piece;   /* of READ_AHEAD_PIECE_BYTES; this and the next: its own */
    bool gives_way; /* runs at a lower priority */
    pthread_t thread;
} EagerThread;

typedef enum {
    OBSERVATION_NONE,
    OBSERVATION_ON,
    OBSERVATION_ENDING, /* no more notes; the callback runs */
    OBSERVATION_DONE,
} ObservationState;

struct Pager {
    PagerConfig config; /* constant, but max_staged_bytes: under lock */
    size_t n_blocks;    /* constant: the source's */
    PagerBlock *blocks; /* one for each of the source's; constant but for
                           the bits and what pager_attach() sets */
    int uffd;           /* set by pager_attach() */
    bool discarded;     /* the same: memory may have been discarded */
    FaultLoop *fault_loop;
    GQueue held;             /* of Piece, claimed until the observation is over:
                                constant till then, later of the eager thread
                                that loads them */
    uint64_t max_unit_bytes; /* constant: the largest unit */
    void *fault_bufs;        /* so much for each fault thread */
    EagerThread *eager_threads;
    unsigned n_eager_started;

    pthread_mutex_t lock; /* guards all down to the atomics */
    pthread_cond_t changed;
    PagerStage stage;
    bool attached;
    bool quit;
    bool finished; /* loaded, and all fault threads have ended … */
    bool told;     /* … and callbacks.loaded() has returned */
    ObservationState observation;
    uint64_t observe_until_us; /* once attached */
    bool held_taken;           /* what was held back is being loaded, or is */
    bool failed;
    uint64_t retries;  /* counts pager_retry() */
    unsigned n_busy;   /* eager threads that hold claims */
    Replay *replay;    /* NULL: no order */
    size_t rest_block; /* where the rest goes on: index into sequence */
    uint64_t rest_page;
    size_t *sequence; /* constant: the blocks as the source likes them */
    GQueue staged;    /* of Piece: read before there was a place for them */
    uint64_t staged_bytes;

    _Atomic uint64_t n_unplaced;    /* pages of attached blocks not placed */
    _Atomic uint64_t last_fault_us; /* when a demand fault came last */
    _Atomic bool heeds_removals;    /* see pager_heed_removals() */
};
