/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a pager is made of, and what it tells.
 */
#pragma once

#include <stdint.h>

#include "formats/control-protocol.h"
#include "formats/page-order.h"
#include "plugin/pager/load-stats.h"
#include "plugin/pager/page-source.h"
#include "profiler/orders/recorder.h"

typedef struct Pager Pager;

/* Why a page cannot be had; path belongs to the source. */
typedef struct PagerFailure {
    const char *path;
    uint64_t off_bytes; /* in the file, of the first page concerned */
    const char *what;   /* "reading", "placing" */
    int error;          /* errno */
} PagerFailure;

/* Called from the pager's threads, without a lock held. */
typedef struct PagerCallbacks {
    /* A page cannot be had, after several tries; who needs it stays blocked
     * until pager_retry(). */
    void (*failed)(void *opaque, const PagerFailure *failure);
    /* The observation is over; the recorders get no more notes. */
    void (*observed)(void *opaque);
    /* Every page is in and the memory is ordinary memory again. */
    void (*loaded)(void *opaque);
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

typedef struct PagerConfig {
    PageSource *source;     /* borrowed until pager_free() */
    const PageOrder *order; /* may be NULL; not kept */
    LoadPolicy policy;      /* not LOAD_POLICY_FULL */
    LoadStats *stats;       /* borrowed until pager_free() */
    PagerObserve observe;
    uint64_t max_staged_bytes; /* read ahead of pager_attach() */
    unsigned n_fault_threads;  /* at least 1 */
    unsigned n_eager_threads;  /* at least 1 */
    PagerCallbacks callbacks;  /* each may be NULL */
} PagerConfig;

/* Where the source's block of this name is in memory. */
typedef struct PagerRange {
    const char *name;
    uint64_t host;      /* host virtual address, page aligned */
    uint64_t len_bytes; /* as the source's block */
} PagerRange;
