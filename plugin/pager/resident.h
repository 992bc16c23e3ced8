/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which pages of private memory of this process exist: in memory or swapped
 * out.  To move only these is to skip holes, which would cost UFFDIO_MOVE about
 * as much as pages, and a page table each.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)

/* What the kernel tells of at once: small, since much of it may be out of date
 * when it is looked at. */
#define RESIDENT_MAX_REGIONS 64

/* As the kernel's struct page_region. */
typedef struct ResidentRegion {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
} ResidentRegion;

/* A walk over an address range.  The caller reads huge_bytes, and no more. */
typedef struct ResidentWalk {
    int pagemap;
    uint64_t at; /* the kernel was asked as far as this */
    uint64_t end;
    uint64_t max_bytes; /* of a stretch */
    uint64_t gap_bytes; /* smaller holes are part of one */
    size_t n;
    size_t next; /* the first region that was not handed out */
    ResidentRegion regions[RESIDENT_MAX_REGIONS];
    uint64_t huge_bytes; /* in huge pages, of what was walked so far */
} ResidentWalk;

/* Open what resident_open() needs, and keep it: before the program gives up its
 * user or its root.  May be called again, not by two threads at once. */
void resident_prepare(void);

/* Close it: the program has given up nothing.  Not while another thread is in
 * resident_open(). */
void resident_unprepare(void);

/* A descriptor to be closed, or -1: this kernel does not tell (before 6.7, or
 * without CONFIG_PROC_PAGE_MONITOR).  Then all pages count as there, and none
 * as huge. */
int resident_open(void);

/* Begin a walk from start (inclusive) to end (exclusive).  Its stretches are at
 * most max_bytes long, a multiple of HUGE_PAGE_BYTES and two at the least, and
 * do not end inside a huge page for that; holes of up to gap_bytes are part of
 * them. */
void resident_walk_begin(ResidentWalk *walk, int pagemap, uint64_t start,
                         uint64_t end, uint64_t max_bytes, uint64_t gap_bytes);

/* The next stretch; false after the last one.  Pages that come and go during
 * the walk are in it or not. */
bool resident_walk_next(ResidentWalk *walk, uint64_t *ret_start,
                        uint64_t *ret_end);

/* Whether a huge page begins at start. */
bool resident_is_huge(int pagemap, uint64_t start);

/* How many bytes from start to end, before the first page that is not so, are
 * the kernel's own page of zeroes: nobody has written to them, but somebody has
 * read them, as a save does. */
uint64_t resident_zero_bytes(int pagemap, uint64_t start, uint64_t end);

/* How many bytes from start to end, before the first page that is not so, are
 * in pages that somebody else has mapped as well: a forked process, or
 * whomever KSM has merged them with.  The page of zeroes is none of these. */
uint64_t resident_shared_bytes(int pagemap, uint64_t start, uint64_t end);
