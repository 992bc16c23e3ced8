/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source: Linux, Documentation/admin-guide/mm/pagemap.rst ("PAGEMAP_SCAN") and
 * include/uapi/linux/fs.h; the names that Debian 12's headers do not have yet
 * are declared here.
 */
#include "plugin/pager/resident.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <glib.h>
#include <linux/fs.h>

#ifndef PAGEMAP_SCAN
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#define PAGE_IS_HUGE    (1 << 6)
struct pm_scan_arg {
    __u64 size;
    __u64 flags;
    __u64 start;
    __u64 end;
    __u64 walk_end;
    __u64 vec;
    __u64 vec_len;
    __u64 max_pages;
    __u64 category_inverted;
    __u64 category_mask;
    __u64 category_anyof_mask;
    __u64 return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

/* Of the words that pagemap has, one a page. */
#define PAGE_PRESENT      (UINT64_C(1) << 63)
#define PAGE_MAPPED_ONCE  (UINT64_C(1) << 56)
#define MAX_WORDS_AT_ONCE 512
#define FEW_WORDS         16 /* to see whether it is worth reading more */

/* Fill regions with up to n of what is of any of the categories from *at to
 * end, and advance *at.  Returns how many they are, or -1. */
static int scan_for(uint64_t categories, int pagemap, uint64_t *at,
                    uint64_t end, ResidentRegion *regions, size_t n)
{
    struct pm_scan_arg argument = {
        .size = sizeof argument,
        .start = *at,
        .end = end,
        .vec = (uintptr_t)regions,
        .vec_len = n,
        .category_anyof_mask = categories,
        .return_mask = PAGE_IS_HUGE,
    };
    int found = ioctl(pagemap, PAGEMAP_SCAN, &argument);

    if (found >= 0) {
        *at = argument.walk_end;
    }
    return found;
}

/* The same of what there is at all. */
static int scan(int pagemap, uint64_t *at, uint64_t end,
                ResidentRegion *regions, size_t n)
{
    return scan_for(PAGE_IS_PRESENT | PAGE_IS_SWAPPED, pagemap, at, end,
                    regions, n);
}

/* Set while nobody else can be looking: see resident_prepare().  -1: none. */
static int kept = -1;

static int open_pagemap(void)
{
    return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void resident_prepare(void)
{
    if (kept < 0) {
        kept = open_pagemap();
    }
}

void resident_unprepare(void)
{
    if (kept >= 0) {
        close(kept);
        kept = -1;
    }
}

int resident_open(void)
{
    int pagemap = kept >= 0 ? fcntl(kept, F_DUPFD_CLOEXEC, 0) : open_pagemap();
    uint64_t at = 0;

    if (pagemap >= 0 && scan(pagemap, &at, 0, NULL, 0) < 0) {
        close(pagemap);
        return -1;
    }
    return pagemap;
}

void resident_walk_begin(ResidentWalk *walk, int pagemap, uint64_t start,
                         uint64_t end, uint64_t max_bytes, uint64_t gap_bytes)
{
    *walk = (ResidentWalk){
        .pagemap = pagemap,
        .at = start,
        .end = end,
        .max_bytes = max_bytes,
        .gap_bytes = gap_bytes,
    };
}

/* Returns false when there is no more. */
static bool fetch(ResidentWalk *walk)
{
    uint64_t start = walk->at;
    int found = -1;

    if (start >= walk->end) {
        return false;
    }
    if (walk->pagemap >= 0) {
        found = scan(walk->pagemap, &walk->at, walk->end, walk->regions,
                     RESIDENT_MAX_REGIONS);
    }
    if (found < 0) {
        walk->regions[0] = (ResidentRegion){start, walk->end, 0};
        walk->at = walk->end;
        found = 1;
    }
    walk->n = (size_t)found;
    walk->next = 0;
    for (size_t i = 0; i < walk->n; i++) {
        const ResidentRegion *region = &walk->regions[i];

        if (region->categories & PAGE_IS_HUGE) {
            walk->huge_bytes += region->end - region->start;
        }
    }
    return walk->n > 0;
}

bool resident_walk_next(ResidentWalk *walk, uint64_t *ret_start,
                        uint64_t *ret_end)
{
    if (walk->next == walk->n && !fetch(walk)) {
        return false;
    }
    uint64_t start = walk->regions[walk->next].start;
    uint64_t limit = (start + walk->max_bytes) & -HUGE_PAGE_BYTES;
    uint64_t end = start;

    while (walk->next < walk->n && end < limit &&
           walk->regions[walk->next].start <= end + walk->gap_bytes) {
        end = walk->regions[walk->next++].end;
    }
    if (end > limit) {
        /* The rest of that region is the next stretch. */
        walk->regions[--walk->next].start = limit;
        end = limit;
    }
    *ret_start = start;
    *ret_end = end;
    return true;
}

bool resident_is_huge(int pagemap, uint64_t start)
{
    ResidentRegion region;
    uint64_t at = start;

    return pagemap >= 0 && start % HUGE_PAGE_BYTES == 0 &&
           scan(pagemap, &at, start + HUGE_PAGE_BYTES, &region, 1) == 1 &&
           region.start == start && (region.categories & PAGE_IS_HUGE);
}

/* Of at most n pages from start on, how many are shared before the first that
 * is not. */
static size_t count_shared(int pagemap, uint64_t start, size_t n,
                           uint64_t page_bytes)
{
    uint64_t words[MAX_WORDS_AT_ONCE];
    ssize_t got = pread(pagemap, words, n * sizeof words[0],
                        (off_t)(start / page_bytes * sizeof words[0]));
    size_t n_got = got > 0 ? (size_t)got / sizeof words[0] : 0;
    size_t i = 0;

    while (i < n_got &&
           (words[i] & (PAGE_PRESENT | PAGE_MAPPED_ONCE)) == PAGE_PRESENT) {
        i++;
    }
    return i;
}

/* Of the pages from start to end, the first that are the kernel's page of
 * zeroes.  Returns false when none is. */
static bool find_zeroes(int pagemap, uint64_t start, uint64_t end,
                        ResidentRegion *ret_region)
{
    uint64_t at = start;

    return pagemap >= 0 && start < end &&
           scan_for(PAGE_IS_PFNZERO, pagemap, &at, end, ret_region, 1) == 1;
}

uint64_t resident_zero_bytes(int pagemap, uint64_t start, uint64_t end)
{
    ResidentRegion region;

    return find_zeroes(pagemap, start, end, &region) && region.start == start
               ? region.end - start
               : 0;
}

uint64_t resident_shared_bytes(int pagemap, uint64_t start, uint64_t end)
{
    const uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t at = start;
    ResidentRegion zeroes;
    size_t wanted = FEW_WORDS;
    size_t found;

    do {
        size_t n = (size_t)MIN((end - at) / page_bytes, wanted);

        found = pagemap >= 0 ? count_shared(pagemap, at, n, page_bytes) : 0;
        at += found * page_bytes;
        wanted = found == FEW_WORDS ? MAX_WORDS_AT_ONCE : 0;
    } while (wanted > 0);
    return find_zeroes(pagemap, start, at, &zeroes) ? zeroes.start - start
                                                    : at - start;
}
