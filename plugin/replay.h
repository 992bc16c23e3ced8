/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the eager thread reads, in which sequence, where there is an order:
 * phase after phase, and inside a phase in file order with near neighbours
 * in one piece.  A demand fault tells in which phase the guest is now; the
 * replay then goes on there, and comes back for what it skipped.
 *
 * Not thread-safe: its owner has a lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/page-order.h"
#include "formats/snapshot.h"

/* Pages of one block (an index of the snapshot), next to each other. */
typedef struct PageSpan {
    size_t block;
    uint64_t first_page;
    uint64_t n_pages;
} PageSpan;

typedef struct Replay Replay;

/* Blocks and pages of order that the snapshot does not have are left out;
 * both may be freed afterwards. */
Replay *replay_new(const PageOrder *order, const Snapshot *snapshot);

/* NULL is fine. */
void replay_free(Replay *replay);

/* The next span, of max_pages at the most.  Returns false at the end; what
 * was skipped by replay_steer() has then been given as well.  A span may be
 * given more than once. */
bool replay_next(Replay *replay, uint64_t max_pages, PageSpan *ret_span);

/* The guest has just touched page, which was not there yet.  Returns whether
 * it is one of the order's. */
bool replay_steer(Replay *replay, size_t block, uint64_t page);
