/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Collects first touches while they happen, from any number of threads, and
 * makes a page-access order of them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"

typedef struct Recorder Recorder;

/* A recorder for at most max_entries touches; it allocates as they come, some
 * 24 bytes each. */
Recorder *recorder_new(size_t max_entries);

/* NULL is fine.  Nobody may be noting any more. */
void recorder_free(Recorder *recorder);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Recorder, recorder_free)

/*
 * Note that page of block (indices as in the order to be made) was touched at
 * now_us, of any one clock.  Thread-safe; never fails: a touch beyond the
 * limit, or one that no memory is left for, is dropped and counted.
 */
void recorder_note(Recorder *recorder, uint32_t block, uint64_t page,
                   PageAccess access, uint64_t now_us);

/* How many touches were kept, and how many dropped.  Thread-safe. */
size_t recorder_count(Recorder *recorder);
size_t recorder_dropped(Recorder *recorder);

/*
 * The order of what was noted so far: by time, neighbours merged, of a page
 * noted more than once only the first touch.  Thread-safe.
 *
 * blocks is a GArray of PageOrderBlock and is copied; times count from
 * start_us, and what was noted before has time 0.  identity may be NULL.
 *
 * Returns a new order, or NULL with FORMATS_ERROR: _MALFORMED when a noted
 * page is in none of the blocks, _TOO_LARGE when memory does not suffice.
 */
PageOrder *recorder_to_order(Recorder *recorder, const GArray *blocks,
                             uint64_t start_us, const char *identity,
                             PageOrderOrigin origin, GError **error);
