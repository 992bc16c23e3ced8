/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pages that could not be read or placed, until they can.
 *
 * A page that has failed is tried again after 10, 20, 40, 80 and 160 ms.  If
 * it still fails, it has failed for good: that is reported, and the page is
 * tried again after parked_retry() only.  No thread waits for any of this.
 *
 * Not thread-safe: its owner has a lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/pager/load-stats.h"

typedef struct Parked Parked;

typedef struct ParkedPage {
    size_t block;
    uint64_t page;
    PlacedBy why;     /* what it is to be placed as */
    bool is_zero;     /* a page of zeroes that could not be placed */
    bool waited_for;  /* somebody has touched it, and waits */
    const char *what; /* failed: "reading", "placing"; a constant */
    int error;        /* errno */
} ParkedPage;

Parked *parked_new(void);

/* NULL is fine. */
void parked_free(Parked *parked);

/* The page has failed.  is_retry: it had been taken by parked_next_due().  One
 * that is here, has been placed and given back since, may now fail as one of
 * zeroes, which it then is. */
void parked_add(Parked *parked, const ParkedPage *page, bool is_retry,
                uint64_t now_us);

/* The page is in place, or nobody needs it any more.  Returns whether it was
 * here. */
bool parked_remove(Parked *parked, size_t block, uint64_t page);
void parked_remove_block(Parked *parked, size_t block);

/* Of these pages, those that are gone by is_gone(); not those that are to be
 * placed as zeroes.  Returns whether there was one. */
bool parked_remove_if(Parked *parked, size_t block, uint64_t first_page,
                      uint64_t n_pages,
                      bool (*is_gone)(void *opaque, uint64_t page),
                      void *opaque);

/* Take the page whose time has come first, to try it: parked_add(),
 * parked_remove() or parked_put_back() comes next.  False: none. */
bool parked_next_due(Parked *parked, uint64_t now_us, ParkedPage *ret_page);

/* If the page is still taken: it could not be tried, or somebody else is about
 * to place it. */
void parked_put_back(Parked *parked, size_t block, uint64_t page,
                     uint64_t now_us);

/* When the next page is due, in microseconds; UINT64_MAX: none is. */
uint64_t parked_due_us(const Parked *parked);

/* Try now what has failed for good. */
void parked_retry(Parked *parked);

/* The next page to report: the first that has failed for good since the last
 * parked_retry(), and each that is waited for.  False: no more. */
bool parked_next_report(Parked *parked, ParkedPage *ret_page);
bool parked_has_report(const Parked *parked);

/* Whether the page is here, to be placed as zeroes. */
bool parked_is_zero(const Parked *parked, size_t block, uint64_t page);

/* All pages. */
size_t parked_count(const Parked *parked);

/* Of these, the ones that have failed for good, and whether they are being
 * tried again or not. */
size_t parked_n_failed(const Parked *parked);
/* Of those, the ones that parked_retry() has put to another try, which is not
 * over. */
size_t parked_n_retried(const Parked *parked);
/* Of those that have failed for good, the ones that somebody waits for. */
size_t parked_n_waited_for(const Parked *parked);

/* Of all pages, those that are to be placed as why. */
size_t parked_n_of(const Parked *parked, PlacedBy why);
