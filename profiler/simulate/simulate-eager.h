/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The eager threads of a simulated load: they read what the replay gives,
 * then all other pages in file order, as far as the storage lets them.  What
 * plugin/pager/pager-eager.c and plugin/pager/page-source.c do, in simulated
 * time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "profiler/orders/replay.h"
#include "profiler/simulate/simulate-image.h"
#include "profiler/simulate/simulate-params.h"
#include "profiler/simulate/storage-model.h"

/* A thread reads what it has claimed with one request after the other, and
 * places all of it when the last has ended. */
typedef struct EagerThread {
    SimRun piece;      /* from the first claimed page to the last; 0 pages:
                          it has none */
    uint64_t *claimed; /* which of these, from the word of piece.first on */
    SimRun request;    /* the part of the piece that is being read */
    uint64_t next;     /* the page of the piece where reading goes on */
    uint64_t at_ns;    /* when it goes on; SIMULATE_NEVER: not by itself */
} EagerThread;

typedef struct Eager {
    SimImage *image;
    Replay *replay; /* NULL: none */
    StorageModel *storage;
    const SimulateParams *params;
    EagerThread *threads;   /* params->n_eager_threads */
    uint64_t busy_until_ns; /* until then the pieces are small */
    uint64_t n_faults;      /* demand faults as yet */
    uint64_t rest_cursor;   /* pages before it are claimed */
    bool in_rest;           /* the replay is at its end */
    uint64_t order_done_ns; /* when that was */
    uint64_t last_end_ns;   /* of the last read, a fault's included */
} Eager;

/* All but eager is borrowed until eager_clear(); replay may be NULL. */
void eager_init(Eager *eager, SimImage *image, Replay *replay,
                StorageModel *storage, const SimulateParams *params);
void eager_clear(Eager *eager);

/* Let it begin; before this, nothing is read. */
void eager_start(Eager *eager);

/* Do all that it would do before until_ns, and place what has been read by
 * then; UINT64_MAX lets it come to its end. */
void eager_advance(Eager *eager, uint64_t until_ns);

typedef enum {
    EAGER_NOT_READ, /* it waits for a request of its piece that comes later */
    EAGER_READING,
    EAGER_READ, /* but not placed, since other pages of its piece are not */
} EagerProgress;

/* How far page, which is in the file and neither pending nor placed, has
 * come; sets *ret_end_ns to when its request ends, if it is EAGER_READING. */
EagerProgress eager_progress(const Eager *eager, uint64_t page,
                             uint64_t *ret_end_ns);
