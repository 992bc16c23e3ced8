/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A mapping in use, and a profiling window over it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/pager/profile-window.h"
#include "tests/pager/ram-kinds.h"

#define PAGE_BYTES 4096
#define N_PAGES    4096

typedef struct World {
    RamKind kind;
    uint8_t *memory; /* a multiple of 2 MiB, as its address */
    uint64_t len_bytes;
    Recorder *recorder;
    LoadStats *stats;
    ProfileWindow *window;
    ProfileWindowCost cost;
} World;

/* N_PAGES of the kind that the test is for; the last word of each page is its
 * number and one. */
World *world_new(void **state);

/* n_pages of a kind, not touched yet. */
World *world_new_empty(RamKind kind, uint64_t n_pages);

/* Write each page's number and one into its last word. */
void world_fill(World *world);

void world_free(World *world);

void world_open(World *world);

/* Returns NULL if it opened; else why not, for g_error_free(). */
GError *world_try_open(World *world);

/* Sets cost. */
void world_close(World *world);

uint64_t *world_word(const World *world, uint64_t page, unsigned index);

/* The last word of every page is still what it was. */
void world_assert_right(const World *world);

/* Give n pages back, as a balloon does. */
void world_give_back(const World *world, uint64_t page, uint64_t n);

/* The bytes of memory that this process takes, shadows included. */
uint64_t world_resident_bytes(const World *world);

/* The order of what was recorded; for page_order_free(). */
PageOrder *world_order(const World *world);
