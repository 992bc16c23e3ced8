/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The states of the pages of one RAM block while it is being loaded: the
 * pending bitmap and the two bitmaps that go with it.
 *
 *   pending owed placed  state          who moves it on
 *      1      1     0    pending        whoever clears the bit in pending
 *                                       (page_states_claim()) reads the page
 *      0      1     0    in flight      the claimer, having read it; or the
 *                                       fault thread, having read it as well:
 *                                       whoever clears the bit in owed
 *                                       (page_states_take()) places it
 *      0      0     0    being placed   the one that took it; if it cannot be
 *                                       placed, back to in flight
 *                                       (page_states_give_back())
 *      0      0     1    placed         nobody, ever
 *
 * A page that is not in the file is placed from the start: it is zero, and
 * so is a placed page that the guest has discarded since.  A page that is
 * discarded before it was placed goes to placed by page_states_drop(), and is
 * zero, too.
 *
 * Bits change by atomic fetch-and and fetch-or, which tell who changed them, so
 * that a page is placed exactly once whatever the threads do.  This is what
 * keeps a late copy of a page out of memory that was discarded meanwhile.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most pages that are handled in one go, and the words that these may
 * touch when they do not begin on a word's border. */
#define PAGE_WINDOW_MAX_PAGES 512
#define PAGE_WINDOW_MAX_WORDS (PAGE_WINDOW_MAX_PAGES / 64 + 1)

typedef struct PageStates {
    uint64_t n_pages;
    size_t n_words;
    _Atomic uint64_t *pending;
    _Atomic uint64_t *owed;
    _Atomic uint64_t *placed;
    bool placed_is_borrowed;
} PageStates;

/* A set of pages close to each other: bit b of word w is the page
 * (first_word + w) * 64 + b. */
typedef struct PageWindow {
    uint64_t first_word;
    size_t n_words;
    uint64_t words[PAGE_WINDOW_MAX_WORDS];
} PageWindow;

/* All pages in bitmap (n_pages bits) become pending, all others placed.
 * Returns false when out of memory. */
bool page_states_init(PageStates *states, const uint64_t *bitmap,
                      uint64_t n_pages);

/* The same with the placed bits in the caller's memory, of whole words, which
 * others may read: a page whose bit is set, by release, is placed. */
bool page_states_init_in(PageStates *states, const uint64_t *bitmap,
                         uint64_t n_pages, _Atomic uint64_t *placed);

/* Leaves *states empty; it may be empty before. */
void page_states_clear(PageStates *states);

/* Claim every pending page of the n_pages (up to PAGE_WINDOW_MAX_PAGES) from
 * first_page on.  Returns how many were claimed; *ret_window has them. */
size_t page_states_claim(PageStates *states, uint64_t first_page,
                         uint64_t n_pages, PageWindow *ret_window);

/* Take the right to place the window's pages; those that somebody else has
 * taken leave the window.  Returns how many are left. */
size_t page_states_take(PageStates *states, PageWindow *window);

/* page, taken before, could not be placed: who wants to may take it again. */
void page_states_give_back(PageStates *states, uint64_t page);

/* The window's pages, taken before, are in guest memory now. */
void page_states_set_placed(PageStates *states, const PageWindow *window);

/* Somebody has given back the n_pages from first_page on, and gets zeroes from
 * now on: those that nobody has taken yet are taken, and count as placed; they
 * are not to be loaded any more.  Returns how many. */
uint64_t page_states_drop(PageStates *states, uint64_t first_page,
                          uint64_t n_pages);

bool page_states_is_placed(const PageStates *states, uint64_t page);
bool page_states_is_owed(const PageStates *states, uint64_t page);

/* The first pending page at or after page and before end (at most n_pages),
 * or end. */
uint64_t page_states_next_pending(const PageStates *states, uint64_t page,
                                  uint64_t end);

/* How many of the n_pages from first_page on, both multiples of 64, are
 * pending; a hint, as that. */
uint64_t page_states_count_pending(const PageStates *states,
                                   uint64_t first_page, uint64_t n_pages);

/* How many pages are pending, and how many of these have their bit set in
 * bitmap (n_pages bits); hints as well, but never more than before. */
uint64_t page_states_count_all_pending(const PageStates *states,
                                       const uint64_t *bitmap,
                                       uint64_t *ret_in_bitmap);

/* A window of one page. */
void page_window_set_one(PageWindow *window, uint64_t page);

/* Whether the window has page; pages outside it are not in it. */
bool page_window_has(const PageWindow *window, uint64_t page);

/* Take page, which is in the window, out of it. */
void page_window_remove(PageWindow *window, uint64_t page);

/* The window's first page, and how many there are from it to the last one; the
 * window is not empty. */
void page_window_bounds(const PageWindow *window, uint64_t *ret_first_page,
                        uint64_t *ret_n_pages);

/* The next run of pages in the window at or after *page; false: no more.
 * Sets *page to its first page and *ret_n_pages to its length. */
bool page_window_next_run(const PageWindow *window, uint64_t *page,
                          uint64_t *ret_n_pages);
