/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Orders for the tests: written out, or random.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/page-order.h"

/* The blocks of every order here. */
enum {
    RAM,  /* "pc.ram", 256 pages of 4 KiB */
    VRAM, /* "vga.vram", 16 pages of 4 KiB */
    BIOS, /* "pc.bios", 32 pages of 512 bytes */
    N_BLOCKS,
};

#define RAM_PAGES  256
#define VRAM_PAGES 16
#define BIOS_PAGES 32

/* An order without extents, of identity_of('a'). */
PageOrder *empty_order(void);

/* An extent, as a test writes it down: {RAM, 10, 1, 5000}. */
typedef struct Row {
    uint32_t block;
    uint64_t first_page;
    uint64_t n_pages;
    uint64_t time_us;
    uint32_t idle_loads;
    PageAccess access;
} Row;

PageOrder *order_of_rows(const Row *rows, size_t n_rows);

/* The order of empty_order() with these extents, never merged. */
#define ORDER_OF(...)                                                          \
    order_of_rows((const Row[]){__VA_ARGS__},                                  \
                  G_N_ELEMENTS(((const Row[]){__VA_ARGS__})))

/* 64 times digit; static, until the next call. */
const char *identity_of(char digit);

/* Append an extent as it is, never merged. */
void add(PageOrder *order, uint32_t block, uint64_t first_page,
         uint64_t n_pages, uint64_t time_us);

/* An order of up to max_extents extents that overlap at times; by time if
 * by_time, else with times in any sequence. */
PageOrder *random_order(GRand *rand, guint max_extents, gboolean by_time);

/* For each page of block the index of the extent it belongs to, or -1: found
 * page by page, the plain way.  For g_free(). */
gint64 *owners_of(const PageOrder *order, uint32_t block);

guint n_pages_of(uint32_t block);

/* Fails unless the order's extents are those of expected, in sequence, with
 * their times; what else they say is not compared. */
void assert_extents(const PageOrder *order, const PageOrder *expected);

void assert_rows(const PageOrder *order, const Row *rows, size_t n_rows);

/* The same with the extents written out. */
#define ASSERT_EXTENTS(order, ...)                                             \
    assert_rows(order, (const Row[]){__VA_ARGS__},                             \
                G_N_ELEMENTS(((const Row[]){__VA_ARGS__})))

/* How many distinct pages order has, counted page by page. */
guint n_pages_in(const PageOrder *order);

/* Whether order has that page. */
gboolean has_page(const PageOrder *order, uint32_t block, uint64_t page);

/* Fails unless a has every page that b has. */
void assert_superset(const PageOrder *a, const PageOrder *b);

/* Fails unless order is valid and has each page once at most. */
void assert_disjoint(const PageOrder *order);
