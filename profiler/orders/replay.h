/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the eager threads read, in which sequence, where there is an order:
 * phase after phase, and inside a phase in file order with near neighbours
 * in one piece.  A demand fault tells in which phase the guest is now; the
 * replay then goes on there, and comes back for what it skipped.
 *
 * Serves the loads and the simulated ones.  Not thread-safe: its owner has a
 * lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/page-order.h"
#include "formats/page-span.h"

/* A block whose pages are to be read. */
typedef struct ReplayBlock {
    const char *name; /* borrowed while the replay is made */
    uint64_t page_bytes;
    uint64_t n_pages;
    const uint64_t *bitmap; /* bit i: page i is to be read; NULL: all are.
                               Borrowed as well */
} ReplayBlock;

typedef struct Replay Replay;

/* To replay order on blocks, which are in the sequence of the file.  Blocks
 * and pages of order that are not among them, and blocks with pages of another
 * size, are left out; order and blocks may be freed afterwards.  Takes time in
 * proportion to the order's extents, whatever their size, and to the bitmaps
 * under them; and meanwhile memory of two bits for each page of the blocks. */
Replay *replay_new(const PageOrder *order, const ReplayBlock *blocks,
                   size_t n_blocks);

/* NULL is fine. */
void replay_free(Replay *replay);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Replay, replay_free)

/* The next span, of max_pages at the most.  Returns false at the end; what
 * was skipped by replay_steer() has then been given as well.  A page may be
 * given more than once. */
bool replay_next(Replay *replay, uint64_t max_pages, PageSpan *ret_span);

/* Back to the beginning, as if nothing had been given. */
void replay_rewind(Replay *replay);

/* Set the bit of each page of the block that the order has. */
void replay_mark_pages(const Replay *replay, size_t block, uint64_t *bitmap);

/* The guest has just touched page, which was not there yet.  Returns whether
 * it is one of the order's, of its first 4095 phases: others steer nothing. */
bool replay_steer(Replay *replay, size_t block, uint64_t page);
