/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/collapse.h"

#include <sys/mman.h>
#include <unistd.h>

#include "plugin/pager/huge-ranges.h"
#include "plugin/pager/kernel-features.h"
#include "plugin/pager/resident.h"
#include "util/clock.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* A stretch is worth it while so many in 8 of the pages that it had from the
 * file are there. */
#define THERE_IN_8 7

/* After so many failures in a row there is no use in trying on: the system has
 * no huge pages, or the kernel does not want to. */
#define MAX_FAILURES 8

/* How long it pauses after each huge page, as a multiple of what that took:
 * others that need the locks, or the processor, get three quarters.  The
 * thread's priority is not lowered: it would hold those locks longer. */
#define PAUSE_TIMES 3

struct Collapse {
    uint64_t huge_bytes;
    uint64_t n_pages;  /* in so many bytes */
    GArray *stretches; /* of Stretch */
};

/* Memory that may become a huge page. */
typedef struct Stretch {
    uint64_t start;
    uint64_t n_in_file; /* of its pages */
} Stretch;

/* ---- what may have huge pages ---- */

static uint64_t count_in_file(const RamPages *range, uint64_t first_page,
                              uint64_t n_pages)
{
    uint64_t n = 0;

    for (uint64_t page = first_page; page < first_page + n_pages; page++) {
        n += (range->in_file[page / 64] >> (page % 64)) & 1;
    }
    return n;
}

/* Those of the range between the two addresses. */
static void add_stretches(Collapse *collapse, const RamPages *range,
                          uint64_t start, uint64_t end)
{
    uint64_t huge = collapse->huge_bytes;
    uint64_t n_pages = huge / range->page_bytes;
    uint64_t at = (MAX(start, range->host) + huge - 1) / huge * huge;

    end = MIN(end, range->host + range->n_pages * range->page_bytes);
    for (; at < end && end - at >= huge; at += huge) {
        uint64_t first_page = (at - range->host) / range->page_bytes;
        const Stretch stretch = {at, count_in_file(range, first_page, n_pages)};

        if (huge_ranges_is_dense(stretch.n_in_file, n_pages)) {
            g_array_append_val(collapse->stretches, stretch);
        }
    }
}

static bool can_collapse(RamKind kind)
{
    return kernel_feature_is_safe(
        kind == RAM_ANONYMOUS ? KERNEL_COLLAPSE : KERNEL_COLLAPSE_SHARED);
}

Collapse *collapse_new(const HugePolicy *policy, const RamPages *ranges,
                       size_t n_ranges)
{
    g_autoptr(GArray) huge = huge_ranges_read(policy);
    Collapse *collapse = g_new0(Collapse, 1);

    collapse->huge_bytes = policy->huge_bytes;
    collapse->n_pages = policy->huge_bytes / (uint64_t)sysconf(_SC_PAGESIZE);
    collapse->stretches = g_array_new(FALSE, FALSE, sizeof(Stretch));
    for (guint i = 0; i < huge->len; i++) {
        const HugeRange *range = &g_array_index(huge, HugeRange, i);

        for (size_t j = 0; j < n_ranges && can_collapse(range->kind); j++) {
            add_stretches(collapse, &ranges[j], range->start, range->end);
        }
    }
    if (collapse->stretches->len == 0) {
        g_clear_pointer(&collapse, collapse_free);
    }
    return collapse;
}

/* ---- making them ---- */

/* Whether nearly all of it is in memory now, and not given back or swapped
 * out; resident has room for a byte a page. */
static bool is_resident(const Collapse *collapse, const Stretch *stretch,
                        unsigned char *resident)
{
    uint64_t n_resident = 0;

    /* Fails where the memory is gone: unplugged. */
    if (mincore((void *)(uintptr_t)stretch->start, collapse->huge_bytes,
                resident) != 0) {
        return false;
    }
    for (uint64_t i = 0; i < collapse->n_pages; i++) {
        n_resident += resident[i] & 1;
    }
    return n_resident * 8 >= stretch->n_in_file * THERE_IN_8;
}

static bool collapse_one(const Collapse *collapse, uint64_t start)
{
    uint64_t begin_us = monotonic_us();
    bool done = madvise((void *)(uintptr_t)start, collapse->huge_bytes,
                        MADV_COLLAPSE) == 0;

    g_usleep(PAUSE_TIMES * (monotonic_us() - begin_us));
    return done;
}

uint64_t collapse_run(Collapse *collapse, const _Atomic bool *stop)
{
    g_autofree unsigned char *resident = g_malloc(collapse->n_pages);
    int pagemap = resident_open();
    uint64_t n_huge = 0;
    unsigned n_failures = 0;

    for (guint i = 0; i < collapse->stretches->len; i++) {
        const Stretch *stretch =
            &g_array_index(collapse->stretches, Stretch, i);

        /* Relaxed: it is only to end soon. */
        if (n_failures >= MAX_FAILURES ||
            atomic_load_explicit(stop, memory_order_relaxed)) {
            break;
        }
        if (resident_is_huge(pagemap, stretch->start)) {
            n_huge++;
        } else if (is_resident(collapse, stretch, resident)) {
            bool done = collapse_one(collapse, stretch->start);

            n_huge += done;
            n_failures = done ? 0 : n_failures + 1;
        }
    }
    if (pagemap >= 0) {
        close(pagemap);
    }
    return n_huge;
}

void collapse_free(Collapse *collapse)
{
    if (collapse) {
        g_array_unref(collapse->stretches);
        g_free(collapse);
    }
}
