/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The cost and the effect of a load: counted by the pager's threads, shown as
 * JSON.  docs/statistics.md defines each field.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "formats/control-protocol.h"

typedef struct LoadStats LoadStats;

/* How a page came into guest memory. */
typedef enum {
    PLACED_BY_FAULT,
    PLACED_LATE, /* by a fault that was ahead of the order */
    PLACED_BY_ORDER,
    PLACED_BY_REST,
    PLACED_NEVER, /* given back before it was loaded: zero */
    N_PLACED_BY,
} PlacedBy;

/* start_us: CLOCK_MONOTONIC when preheat started, in microseconds. */
LoadStats *load_stats_new(uint64_t start_us);

/* NULL is fine. */
void load_stats_free(LoadStats *stats);

/* All further functions are thread-safe.  load_stats_read() and those that
 * follow it take no lock, but for the last. */

/* Whose faults are a vCPU's: thread IDs by vCPU index. */
void load_stats_set_vcpus(LoadStats *stats, const uint32_t *thread_ids,
                          size_t n_vcpus);

void load_stats_set_in_file(LoadStats *stats, uint64_t pages);

/* Learning is over: it held back so many pages of the order, and so many of
 * these nobody has touched. */
void load_stats_learned(LoadStats *stats, uint64_t held_back, uint64_t unused);

/* A fault of thread_id begins to be served.  demand: it needs a page of the
 * snapshot, and not just a page of zeroes.  Returns when, for
 * load_stats_fault_end().  It is counted from now on, so that whoever it wakes
 * finds it in the statistics. */
uint64_t load_stats_fault_begin(LoadStats *stats, uint32_t thread_id,
                                bool demand);

/* … and has been served. */
void load_stats_fault_end(LoadStats *stats, uint32_t thread_id,
                          uint64_t begin_us, bool demand);

void load_stats_placed(LoadStats *stats, PlacedBy by, uint64_t pages);
/* After the load, so many huge pages there are of what was loaded. */
void load_stats_huge_pages(LoadStats *stats, uint64_t huge_pages);

void load_stats_read(LoadStats *stats, uint64_t bytes);

/* There is a pack: whether it is in use, having been found to be faster than
 * the snapshot; and so many more pages came from it. */
void load_stats_pack_used(LoadStats *stats, bool used);
void load_stats_pack_pages(LoadStats *stats, uint64_t pages);

/* Somebody waited for a page that the order lacks. */
void load_stats_order_missed(LoadStats *stats);

/* It was of no use: nothing more is loaded by it. */
void load_stats_order_abandoned(LoadStats *stats);

/* A read takes long. */
void load_stats_slow_read(LoadStats *stats);

/* So many pages cannot be loaded just now, and so many of these are waited
 * for. */
void load_stats_set_failed(LoadStats *stats, uint64_t pages,
                           uint64_t waited_for);

uint64_t load_stats_failed_waited_for(const LoadStats *stats);

/* The first call for a milestone counts.  time_us: CLOCK_MONOTONIC. */
void load_stats_milestone(LoadStats *stats, Milestone milestone,
                          uint64_t time_us);

/* The fields, with policy and state among them; a new reference. */
json_t *load_stats_to_json(LoadStats *stats, LoadPolicy policy,
                           LoadState state);
