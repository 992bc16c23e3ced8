/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/page-states.h"

#include <string.h>

#include <glib.h>

static size_t words_for(uint64_t n_pages)
{
    return n_pages / 64 + (n_pages % 64 != 0);
}

/* The bits from (inclusive) to to (exclusive, up to 64) of a word. */
static uint64_t word_mask(unsigned from, unsigned to)
{
    uint64_t below_to = to == 64 ? UINT64_MAX : (UINT64_C(1) << to) - 1;

    return below_to & ~((UINT64_C(1) << from) - 1);
}

static size_t count_bits(const PageWindow *window)
{
    size_t count = 0;

    for (size_t i = 0; i < window->n_words; i++) {
        count += (size_t)__builtin_popcountll(window->words[i]);
    }
    return count;
}

bool page_states_init_in(PageStates *states, const uint64_t *bitmap,
                         uint64_t n_pages, _Atomic uint64_t *placed)
{
    size_t n_words = words_for(n_pages);
    PageStates built = {
        .n_pages = n_pages,
        .n_words = n_words,
        .pending = g_try_new(_Atomic uint64_t, n_words),
        .owed = g_try_new(_Atomic uint64_t, n_words),
        .placed = placed ? placed : g_try_new(_Atomic uint64_t, n_words),
        .placed_is_borrowed = placed != NULL,
    };

    if (n_words > 0 && (!built.pending || !built.owed || !built.placed)) {
        page_states_clear(&built);
        return false;
    }
    for (size_t i = 0; i < n_words; i++) {
        atomic_init(&built.pending[i], bitmap[i]);
        atomic_init(&built.owed[i], bitmap[i]);
        /* Relaxed: nobody has the states yet. */
        atomic_store_explicit(&built.placed[i], ~bitmap[i],
                              memory_order_relaxed);
    }
    *states = built;
    return true;
}

bool page_states_init(PageStates *states, const uint64_t *bitmap,
                      uint64_t n_pages)
{
    return page_states_init_in(states, bitmap, n_pages, NULL);
}

void page_states_clear(PageStates *states)
{
    g_free((void *)states->pending);
    g_free((void *)states->owed);
    if (!states->placed_is_borrowed) {
        g_free((void *)states->placed);
    }
    memset(states, 0, sizeof *states);
}

size_t page_states_claim(PageStates *states, uint64_t first_page,
                         uint64_t n_pages, PageWindow *ret_window)
{
    g_assert(n_pages > 0 && n_pages <= PAGE_WINDOW_MAX_PAGES);
    g_assert(first_page + n_pages <= states->n_pages);

    uint64_t end = first_page + n_pages;
    ret_window->first_word = first_page / 64;
    ret_window->n_words = words_for(end) - ret_window->first_word;
    for (size_t i = 0; i < ret_window->n_words; i++) {
        uint64_t word_start = (ret_window->first_word + i) * 64;
        unsigned from =
            word_start < first_page ? (unsigned)(first_page - word_start) : 0;
        unsigned to = MIN(end - word_start, 64);
        uint64_t mask = word_mask(from, to);
        /* Acquire-release: of two that claim, one sees the other's claim;
         * nothing else is published by it. */
        ret_window->words[i] = atomic_fetch_and_explicit(
                                   &states->pending[ret_window->first_word + i],
                                   ~mask, memory_order_acq_rel) &
                               mask;
    }
    return count_bits(ret_window);
}

size_t page_states_take(PageStates *states, PageWindow *window)
{
    for (size_t i = 0; i < window->n_words; i++) {
        uint64_t mask = window->words[i];

        if (mask != 0) {
            /* Sequentially consistent: in one sequence with the look at the
             * bit by who is about to park the page (pager-fail.c). */
            window->words[i] =
                atomic_fetch_and_explicit(&states->owed[window->first_word + i],
                                          ~mask, memory_order_seq_cst) &
                mask;
        }
    }
    return count_bits(window);
}

void page_states_give_back(PageStates *states, uint64_t page)
{
    /* Release: whoever takes it next comes after the one who could not place
     * it. */
    atomic_fetch_or_explicit(&states->owed[page / 64],
                             UINT64_C(1) << (page % 64), memory_order_release);
}

void page_states_set_placed(PageStates *states, const PageWindow *window)
{
    for (size_t i = 0; i < window->n_words; i++) {
        /* Release: who sees the bit knows that the page is in memory. */
        atomic_fetch_or_explicit(&states->placed[window->first_word + i],
                                 window->words[i], memory_order_release);
    }
}

uint64_t page_states_drop(PageStates *states, uint64_t first_page,
                          uint64_t n_pages)
{
    uint64_t end = first_page + n_pages;
    uint64_t n_dropped = 0;

    g_assert(end <= states->n_pages);
    for (uint64_t page = first_page; page < end; page = (page / 64 + 1) * 64) {
        size_t word = page / 64;
        unsigned to = (unsigned)MIN(end - page + page % 64, 64);
        uint64_t mask = word_mask((unsigned)(page % 64), to);

        /* As in claim, take and set_placed: in this sequence a page is never
         * pending but not owed, and is placed only once it is not owed. */
        atomic_fetch_and_explicit(&states->pending[word], ~mask,
                                  memory_order_acq_rel);
        uint64_t taken = atomic_fetch_and_explicit(&states->owed[word], ~mask,
                                                   memory_order_seq_cst) &
                         mask;
        atomic_fetch_or_explicit(&states->placed[word], taken,
                                 memory_order_release);
        n_dropped += (uint64_t)__builtin_popcountll(taken);
    }
    return n_dropped;
}

static bool test_bit(_Atomic uint64_t *words, uint64_t page)
{
    /* Of placed, it is known that the page is there: acquire.  Of owed, see
     * page_states_take(): sequentially consistent. */
    uint64_t word =
        atomic_load_explicit(&words[page / 64], memory_order_seq_cst);

    return (word >> (page % 64)) & 1;
}

bool page_states_is_placed(const PageStates *states, uint64_t page)
{
    return test_bit(states->placed, page);
}

bool page_states_is_owed(const PageStates *states, uint64_t page)
{
    return test_bit(states->owed, page);
}

uint64_t page_states_next_pending(const PageStates *states, uint64_t page,
                                  uint64_t end)
{
    while (page < end) {
        /* Relaxed: a hint only; page_states_claim() decides. */
        uint64_t word = atomic_load_explicit(&states->pending[page / 64],
                                             memory_order_relaxed) >>
                        (page % 64);

        if (word != 0) {
            return MIN(page + (uint64_t)__builtin_ctzll(word), end);
        }
        page = (page / 64 + 1) * 64;
    }
    return end;
}

uint64_t page_states_count_pending(const PageStates *states,
                                   uint64_t first_page, uint64_t n_pages)
{
    uint64_t n = 0;

    g_assert(first_page % 64 == 0 && n_pages % 64 == 0);
    for (uint64_t i = first_page / 64; i < (first_page + n_pages) / 64; i++) {
        /* Relaxed: a hint only. */
        n += (uint64_t)__builtin_popcountll(
            atomic_load_explicit(&states->pending[i], memory_order_relaxed));
    }
    return n;
}

uint64_t page_states_count_all_pending(const PageStates *states,
                                       const uint64_t *bitmap,
                                       uint64_t *ret_in_bitmap)
{
    uint64_t n = 0;
    uint64_t n_in_bitmap = 0;

    for (size_t i = 0; i < states->n_words; i++) {
        /* Relaxed: a hint only. */
        uint64_t word =
            atomic_load_explicit(&states->pending[i], memory_order_relaxed);

        n += (uint64_t)__builtin_popcountll(word);
        n_in_bitmap += (uint64_t)__builtin_popcountll(word & bitmap[i]);
    }
    *ret_in_bitmap = n_in_bitmap;
    return n;
}

void page_window_set_one(PageWindow *window, uint64_t page)
{
    window->first_word = page / 64;
    window->n_words = 1;
    window->words[0] = UINT64_C(1) << (page % 64);
}

bool page_window_has(const PageWindow *window, uint64_t page)
{
    uint64_t word = page / 64 - window->first_word;

    return word < window->n_words && ((window->words[word] >> (page % 64)) & 1);
}

void page_window_remove(PageWindow *window, uint64_t page)
{
    window->words[page / 64 - window->first_word] &=
        ~(UINT64_C(1) << (page % 64));
}

void page_window_bounds(const PageWindow *window, uint64_t *ret_first_page,
                        uint64_t *ret_n_pages)
{
    size_t first = 0;
    size_t last = window->n_words - 1;

    while (window->words[first] == 0) {
        first++;
    }
    while (window->words[last] == 0) {
        last--;
    }
    uint64_t first_page = (window->first_word + first) * 64 +
                          (uint64_t)__builtin_ctzll(window->words[first]);
    uint64_t last_page = (window->first_word + last) * 64 + 63 -
                         (uint64_t)__builtin_clzll(window->words[last]);
    *ret_first_page = first_page;
    *ret_n_pages = last_page - first_page + 1;
}

bool page_window_next_run(const PageWindow *window, uint64_t *page,
                          uint64_t *ret_n_pages)
{
    uint64_t end = (window->first_word + window->n_words) * 64;
    uint64_t first = MAX(*page, window->first_word * 64);

    while (first < end && !page_window_has(window, first)) {
        first++;
    }
    if (first >= end) {
        return false;
    }
    uint64_t last = first;
    while (page_window_has(window, last + 1)) {
        last++;
    }
    *page = first;
    *ret_n_pages = last - first + 1;
    return true;
}
