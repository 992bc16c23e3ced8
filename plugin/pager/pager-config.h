/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The configuration of a pager, and its callbacks.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "formats/control-protocol.h"
#include "formats/pack.h"
#include "formats/page-order.h"
#include "plugin/pager/load-stats.h"
#include "plugin/pager/page-source.h"
#include "profiler/orders/recorder.h"

typedef struct Pager Pager;

/* A page that cannot be loaded.  Strings are borrowed for the call. */
typedef struct PagerFailure {
    const char *path; /* of the source */
    uint64_t off_bytes;
    const char *what;   /* failed: "reading", "placing", "checking" */
    int error;          /* errno */
    const char *reason; /* the same in words */
    bool waited_for;    /* somebody has touched the page, and is blocked */
    bool is_final;      /* pager_retry() cannot mend it */
} PagerFailure;

/* A read that takes long. */
typedef struct PagerSlowRead {
    const char *path; /* borrowed for the call */
    uint64_t off_bytes;
    uint64_t seconds; /* so far */
    bool waited_for;  /* somebody has touched the page, and is blocked */
} PagerSlowRead;

/* Called from the pager's threads, without a lock held; never from one that
 * serves faults. */
typedef struct PagerCallbacks {
    /* A page cannot be loaded, after several tries; whoever needs it is blocked
     * until pager_retry(), and all else goes on.  Told of the first such page,
     * and of each that somebody waits for; again after each pager_retry(). */
    void (*failed)(void *opaque, const PagerFailure *failure);
    /* For each read that takes longer than slow_read_us; again from time to
     * time while it goes on. */
    void (*slow)(void *opaque, const PagerSlowRead *slow);
    /* The observation is over; nothing more is recorded. */
    void (*observed)(void *opaque);
    /* Every page is in and the memory is ordinary memory again. */
    void (*loaded)(void *opaque);
    /* The pack cannot be read, for this reason; all goes on without it. */
    void (*pack_failed)(void *opaque, const char *reason);
    void *opaque;
} PagerCallbacks;

/* What a load can teach. */
typedef enum {
    OBSERVE_NOTHING,
    OBSERVE_RECORDING, /* nothing is prefetched: every first touch is seen */
    OBSERVE_LEARNING,  /* the order is prefetched, but for some of its pages,
                          which are held back to find out who needs them */
} ObserveKind;

typedef struct PagerObserve {
    ObserveKind kind;
    Recorder *touched;   /* demand faults; both borrowed until pager_free() */
    Recorder *untouched; /* of what was held back, what nobody has touched;
                            only for learning */
    uint64_t for_us;     /* how long, from pager_attach() on */
} PagerObserve;

/* Whether whole huge pages are placed, where the kernel can be trusted with
 * moving them (kernel-features.h). */
typedef enum {
    HUGE_PLACING_POLICY, /* where the kernel would have huge pages */
    HUGE_PLACING_NEVER,
    HUGE_PLACING_ALWAYS, /* in all private memory */
} HugePlacing;

typedef struct PagerConfig {
    PageSource *source; /* borrowed until pager_release() */
    PageOrder *order;   /* may be NULL; pager_new() takes it over, also where
                           it fails */
    const Pack *pack;   /* of the source's image; borrowed until
                           pager_release(); NULL: none */
    bool pack_always;   /* use it without measuring whether it is faster */
    LoadPolicy policy;  /* not LOAD_POLICY_FULL */
    LoadStats *stats;   /* borrowed until pager_free() */
    PagerObserve observe;
    uint64_t max_staged_bytes; /* read, or warmed, ahead of pager_attach() */
    uint64_t slow_read_us;     /* 0: do not watch */
    LoadRest rest;             /* where there is an order */
    uint64_t rest_patience_us; /* for how long at most LOAD_REST_IDLE waits */
    uint64_t rest_bytes_per_s; /* what may be read of the rest; 0: no limit */
    HugePlacing huge;
    uint64_t max_lazy_bytes;  /* reserved huge pages (hugetlb) that are larger
                                 are loaded before pager_attach() returns; 0:
                                 those beyond 2 MiB */
    unsigned n_processors;    /* what there are; 0: ask the kernel */
    unsigned n_fault_threads; /* each at least 1 */
    unsigned n_eager_threads;
    unsigned n_place_threads;
    unsigned n_fetchers;      /* threads that call pager_fetch(); may be 0 */
    _Atomic uint64_t *placed; /* where the placed bits lie, each block's in
                                 whole words; borrowed until pager_release();
                                 NULL: the pager's own memory */
    PagerCallbacks callbacks; /* each may be NULL */
} PagerConfig;

/* Where the source's block of this name is in memory. */
typedef struct PagerRange {
    const char *name;
    uint64_t host;      /* host virtual address, page aligned */
    uint64_t len_bytes; /* as the source's block */
} PagerRange;
