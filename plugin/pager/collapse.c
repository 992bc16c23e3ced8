/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/collapse.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plugin/pager/kernel-features.h"
#include "plugin/pager/kernel-file.h"
#include "plugin/pager/mapping.h"
#include "util/clock.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* A stretch is dense with so many of its pages in 8. */
#define DENSE_IN_8 7

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
    GArray *stretches; /* addresses, each of huge_bytes */
};

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

static bool is_dense(uint64_t n_present, uint64_t n_pages)
{
    return n_present * 8 >= n_pages * DENSE_IN_8;
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

        if (is_dense(count_in_file(range, first_page, n_pages), n_pages)) {
            g_array_append_val(collapse->stretches, at);
        }
    }
}

static bool may_be_huge(const HugePolicy *policy, const Mapping *mapping,
                        const char *flags)
{
    if (mapping->inode == 0) {
        return kernel_feature_is_safe(KERNEL_COLLAPSE) &&
               huge_policy_allows(policy, RAM_ANONYMOUS, flags, NULL);
    }
    MappingFileSystem on;
    mapping_file_system(mapping, &on);
    bool may = kernel_feature_is_safe(KERNEL_COLLAPSE_SHARED) &&
               g_strcmp0(on.type, "tmpfs") == 0 &&
               huge_policy_allows(policy, RAM_SHARED, flags,
                                  on.is_kernels ? NULL : on.options);
    mapping_file_system_clear(&on);
    return may;
}

static void add_mapping(Collapse *collapse, const HugePolicy *policy,
                        const RamPages *ranges, size_t n_ranges,
                        const Mapping *mapping, const char *flags)
{
    for (size_t i = 0; i < n_ranges; i++) {
        uint64_t end =
            ranges[i].host + ranges[i].n_pages * ranges[i].page_bytes;

        if (mapping->start < end && mapping->end > ranges[i].host &&
            may_be_huge(policy, mapping, flags)) {
            add_stretches(collapse, &ranges[i], mapping->start, mapping->end);
        }
    }
}

Collapse *collapse_new(const HugePolicy *policy, const RamPages *ranges,
                       size_t n_ranges)
{
    g_autofree char *smaps = kernel_file_read(KERNEL_FILE_SMAPS);
    char *rest = smaps;
    Mapping mapping = {0};
    const char *line;
    Collapse *collapse = g_new0(Collapse, 1);

    collapse->huge_bytes = policy->huge_bytes;
    collapse->n_pages = policy->huge_bytes / (uint64_t)sysconf(_SC_PAGESIZE);
    collapse->stretches = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    while (rest && (line = mapping_next_line(&rest))) {
        if (!mapping_parse(line, &mapping) &&
            g_str_has_prefix(line, "VmFlags:")) {
            add_mapping(collapse, policy, ranges, n_ranges, &mapping,
                        line + strlen("VmFlags:"));
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
static bool is_resident(const Collapse *collapse, uint64_t start,
                        unsigned char *resident)
{
    uint64_t n_resident = 0;

    /* Fails where the memory is gone: unplugged. */
    if (mincore((void *)(uintptr_t)start, collapse->huge_bytes, resident) !=
        0) {
        return false;
    }
    for (uint64_t i = 0; i < collapse->n_pages; i++) {
        n_resident += resident[i] & 1;
    }
    return is_dense(n_resident, collapse->n_pages);
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
    uint64_t n_made = 0;
    unsigned n_failures = 0;

    for (guint i = 0; i < collapse->stretches->len; i++) {
        uint64_t start = g_array_index(collapse->stretches, uint64_t, i);

        /* Relaxed: it is only to end soon. */
        if (n_failures >= MAX_FAILURES ||
            atomic_load_explicit(stop, memory_order_relaxed)) {
            break;
        }
        if (is_resident(collapse, start, resident)) {
            bool done = collapse_one(collapse, start);

            n_made += done;
            n_failures = done ? 0 : n_failures + 1;
        }
    }
    return n_made;
}

void collapse_free(Collapse *collapse)
{
    if (collapse) {
        g_array_unref(collapse->stretches);
        g_free(collapse);
    }
}
