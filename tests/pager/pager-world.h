/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A pager on plain mappings in place of guest RAM, with a snapshot that is in
 * no file: all that it borrows, and what it has called back.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/pager/pager.h"
#include "tests/pager/fake-snapshot.h"
#include "tests/pager/ram-kinds.h"

#define WORLD_N_PAGES  4096 /* of each block */
#define WORLD_N_BLOCKS 2

#define WORLD_HUGE_BYTES (UINT64_C(2) << 20)
#define WORLD_HUGE_PAGES (WORLD_HUGE_BYTES / FAKE_PAGE_BYTES)

/* What a world of reserved huge pages takes of them. */
#define WORLD_HUGETLB_PAGES                                                    \
    (WORLD_N_BLOCKS * (WORLD_N_PAGES / WORLD_HUGE_PAGES + 1))

/* A pager with all that it borrows. */
typedef struct World {
    RamKind kind;
    RamImage *snapshot;
    FakeSource *source;
    LoadStats *stats;
    PagerObserve observe;
    uint64_t slow_read_us; /* 0: reads are not watched */
    LoadRest rest;
    uint64_t rest_patience_us;
    uint64_t rest_bytes_per_s;
    unsigned n_eager_threads; /* 2, until a test sets it */
    HugePlacing huge;         /* HUGE_PLACING_NEVER, until a test sets it */
    uint64_t max_lazy_bytes;
    const Pack *pack; /* borrowed; NULL: none */
    bool pack_always;
    Pager *pager;
    uint8_t *memory[WORLD_N_BLOCKS]; /* aligned to a huge page … */
    void *maps[WORLD_N_BLOCKS];      /* … in these */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    unsigned n_failed;
    PagerFailure failure; /* the last one; its strings may be gone */
    unsigned n_slow;
    PagerSlowRead slow; /* the same */
    unsigned n_pack_failed;
    bool observed;
    bool loaded;
} World;

/* Whether huge pages are moved on this system; says so where they are not. */
bool world_can_move_huge(void);

/* A snapshot with share_of_8 in 8 of its pages in the file, and memory of the
 * kind that holds something else. */
World *world_new(RamKind kind, unsigned share_of_8);

/* The same of reserved huge pages, for which the kernel sets none aside. */
World *world_new_unreserved(RamKind kind, unsigned share_of_8);
void world_free(World *world);

/* Before world_start(): have the pager observe, for an hour. */
void world_observe(World *world, ObserveKind kind);

/* Make the pager; let it take over the memory; wait.  All must work. */
void world_start(World *world, LoadPolicy policy, const PageOrder *order);
void world_attach(World *world);
bool world_try_attach(World *world, GError **error);
void world_await(World *world, LoadGoal goal);

/* Wait until the pager has said so often in all that it failed. */
void world_await_failures(World *world, unsigned n);

/* What it has said: how often, and the last time; whether all is loaded. */
unsigned world_n_failures(World *world);
PagerFailure world_failure(World *world);
PagerSlowRead world_slow(World *world);
bool world_is_loaded(World *world);

/* How often it has said that the pack cannot be read. */
unsigned world_n_pack_failures(World *world);

/* Wait until it has said n times that a read is slow. */
void world_await_slow(World *world, unsigned n);

uint8_t *world_page(const World *world, size_t block, uint64_t page);

/* Whether the page holds what the snapshot has of it. */
bool world_page_is_right(const World *world, size_t block, uint64_t page);

void world_assert_all_right(const World *world);

/* A number of the statistics; group: NULL, or the object that it is in. */
json_int_t world_stat(const World *world, const char *group, const char *name);

/* Wait until the pager has that state; failures end a moment later than who
 * waited for a page is woken. */
void world_await_state(const World *world, LoadState state);

/* How many pages have been placed. */
json_int_t world_n_placed(const World *world);

/* A guest's thread that touches a page. */
typedef struct PageToucher {
    const World *world;
    size_t block;
    uint64_t page;
    bool right;
    pthread_t thread;
} PageToucher;

void world_begin_touch(const World *world, PageToucher *toucher, size_t block,
                       uint64_t page);

/* Wait until it has the page.  Returns whether that was right. */
bool world_end_touch(PageToucher *toucher);

/* The pages from first_page on, backwards: the guest's way, not the file's. */
PageOrder *world_order(const World *world, size_t block, uint64_t first_page,
                       uint64_t n_pages);

uint64_t world_address(const World *world, size_t block, uint64_t page);

/* Wait until so many pages are missing of those in the file, for good. */
void world_await_all_but(const World *world, json_int_t n_missing);

/* The last failure was of that page. */
void world_assert_failed_at(World *world, size_t block, uint64_t page);
