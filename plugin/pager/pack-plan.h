/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which chunk of a pack is read next, and whether any is: at first one chunk,
 * while the other threads read as many bytes of the order's next pages from the
 * snapshot; then all, if the chunk's pages took a thread less time.
 *
 * Not thread-safe: its owner has a lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/pack.h"

typedef enum {
    PACK_NONE,     /* there is none */
    PACK_ON_TRIAL, /* being measured */
    PACK_IN_USE,
    PACK_LEFT, /* slower than the snapshot, or damaged */
} PackState;

/* What reading has cost. */
typedef struct PackCost {
    uint64_t pages_bytes; /* of pages that were wanted */
    uint64_t us;
} PackCost;

typedef struct PackPlan {
    const Pack *pack; /* borrowed; NULL: none */
    PackState state;
    bool is_tried;  /* on trial: a chunk is being read */
    size_t at;      /* the chunk that comes next, unless it has been given */
    size_t n_given; /* chunks that have been given … */
    bool *given;    /* … and which */
    PackCost of_pack;
    PackCost of_snapshot;
} PackPlan;

/* pack: NULL or what lies beside the order.  always: use it without trial. */
void pack_plan_init(PackPlan *plan, const Pack *pack, bool always);

/* It may be all zeroes. */
void pack_plan_clear(PackPlan *plan);

/* The chunk that is to be read now; false: none. */
bool pack_plan_next(PackPlan *plan, size_t *ret_chunk);

/* Reading a chunk is over: it took so long, and so many bytes of its pages were
 * wanted (0: it was not read, since nobody needs it any more). */
void pack_plan_note_chunk(PackPlan *plan, uint64_t pages_bytes, uint64_t us);

/* The same of a read from the snapshot. */
void pack_plan_note_snapshot(PackPlan *plan, uint64_t pages_bytes, uint64_t us);

/* It cannot be read: no more of it.  Returns whether that is news. */
bool pack_plan_leave(PackPlan *plan);

/* Whether it is in use, or may come to be. */
bool pack_plan_is_of_use(const PackPlan *plan);

/* The guest has touched page, which was not there yet: go on with the chunk
 * that has it, if that is still to come; what is skipped comes last. */
void pack_plan_steer(PackPlan *plan, size_t block, uint64_t page);
