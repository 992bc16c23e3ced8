/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager: loads a snapshot's RAM while the memory is already in use.
 *
 * Knows nothing of QEMU: it works on any memory of this process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/control-protocol.h"
#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "plugin/pager/load-stats.h"
#include "plugin/pager/page-source.h"
#include "plugin/pager/ram-range.h"
#include "profiler/orders/recorder.h"

typedef struct Pager Pager;

/* Why a page cannot be had; path belongs to the snapshot. */
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
    /* The recording is over; the recorder gets no more notes. */
    void (*recorded)(void *opaque);
    /* The learning is over; the recorders get no more notes. */
    void (*learned)(void *opaque);
    /* Every page is in and the memory is ordinary memory again. */
    void (*loaded)(void *opaque);
    void *opaque;
} PagerCallbacks;

/* What a prefetched load can teach: both borrowed until pager_free(). */
typedef struct PagerLearning {
    Recorder *missed;  /* demand faults; NULL: do not learn */
    Recorder *unused;  /* pages of the order that nobody touched, of those that
                          were held back to find out */
    uint64_t learn_us; /* how long, from pager_attach() on */
} PagerLearning;

typedef struct PagerConfig {
    const RamImage *snapshot;  /* borrowed until pager_free() */
    PageSource *source;        /* borrowed until pager_free() */
    const PageOrder *order;    /* may be NULL; not kept */
    LoadPolicy policy;         /* not LOAD_POLICY_FULL */
    LoadStats *stats;          /* borrowed until pager_free() */
    Recorder *recorder;        /* NULL: do not record; else borrowed */
    uint64_t record_us;        /* how long to record, from pager_attach() on */
    PagerLearning learning;    /* not together with recorder */
    uint64_t max_staged_bytes; /* read ahead of pager_attach() */
    unsigned n_fault_threads;  /* at least 1 */
    unsigned n_eager_threads;  /* at least 1 */
    PagerCallbacks callbacks;  /* each may be NULL */
} PagerConfig;

/* Where the snapshot's block of this name is in memory. */
typedef struct PagerRange {
    const char *name;
    uint64_t host;      /* host virtual address, page aligned */
    uint64_t len_bytes; /* as the snapshot's block */
} PagerRange;

/* The snapshot's block that range is.  Returns NULL with PAGER_ERROR_SNAPSHOT
 * where there is none of its name and length. */
const RamImageBlock *pager_range_block(const PagerRange *range,
                                       const RamImage *snapshot,
                                       GError **error);

/* Create the pager and start its eager threads: they read the order's pages
 * ahead, up to max_staged_bytes.
 * Returns NULL with PAGER_ERROR_SYSTEM. */
Pager *pager_new(const PagerConfig *config, GError **error);

/*
 * Take over the ranges, lazily loaded from here on: their contents are
 * discarded, and each first touch waits for the page.  Blocks that are not
 * among the ranges are not loaded.  thread_ids: the vCPUs', for the
 * statistics.  Once only.
 *
 * Returns false with PAGER_ERROR; nothing has been discarded then, except
 * where the message says so.
 */
bool pager_attach(Pager *pager, const PagerRange *ranges, size_t n_ranges,
                  const uint32_t *thread_ids, size_t n_threads, GError **error);

/* Wait until the goal is reached, also through failures that are mended.
 * Returns false with PAGER_ERROR_STATE when the pager ends before. */
bool pager_wait(Pager *pager, LoadGoal goal, GError **error);

/* After callbacks.failed(): try again what has failed. */
void pager_retry(Pager *pager);

/* Load everything now, whatever the policy is; ends recording and
 * learning. */
void pager_load_rest(Pager *pager);

/* End the recording before its time; does nothing where none is under way.
 * callbacks.recorded() has been called when this returns. */
void pager_end_recording(Pager *pager);

/* The same for learning and callbacks.learned(). */
void pager_end_learning(Pager *pager);

LoadState pager_state(Pager *pager);

/* Once every page is in: join the threads, and free all that only loading
 * needs.  Other threads may still ask for the state, or wait. */
void pager_release(Pager *pager);

/* Stop the threads, free everything.  Unless every page is in, the memory
 * must not be used any more: what is missing would read as zeroes.
 * NULL is fine. */
void pager_free(Pager *pager);
