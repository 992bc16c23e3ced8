/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The eager thread of a simulated load: it reads the plan, then all other
 * pages in file order, as far as the storage lets it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "profiler/simulate-image.h"
#include "profiler/simulate-plan.h"
#include "profiler/simulate.h"
#include "profiler/storage-model.h"

/* A piece whose pages were claimed and are not marked as placed yet. */
typedef struct EagerPiece {
    SimRun run;
    uint64_t end_ns;
} EagerPiece;

typedef struct Eager {
    SimImage *image;
    SimPlan *plan; /* NULL if in_rest from the start */
    StorageModel *storage;
    const SimulateParams *params;
    uint64_t now_ns;        /* when it began its last read */
    uint64_t busy_until_ns; /* until then the pieces are small */
    uint64_t rest_cursor;   /* pages before it are claimed */
    bool in_rest;           /* the plan is done */
    bool done;
    uint64_t order_done_ns; /* when the last page read by plan was placed */
    uint64_t last_end_ns;   /* of the last read, a fault's included */
    size_t n;               /* pieces being read, from head on */
    size_t head;
    EagerPiece pieces[STORAGE_MAX_QUEUE];
} Eager;

/* Go on with the pages that are not in the plan; not before the guest could
 * run, since QEMU has no place for them earlier. */
void eager_begin_rest(Eager *eager);

/* Begin every read that it would begin before until_ns; UINT64_MAX lets it
 * come to its end. */
void eager_advance(Eager *eager, uint64_t until_ns);

/* When page, which is neither pending nor placed, will be placed; this may
 * have come to pass. */
uint64_t eager_in_flight_until(const Eager *eager, uint64_t page);
