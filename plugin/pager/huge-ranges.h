/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where in this process the kernel would fill memory with huge pages.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "plugin/pager/huge-policy.h"

/* A mapping, or several side by side: from start (inclusive) to end
 * (exclusive). */
typedef struct HugeRange {
    uint64_t start;
    uint64_t end;
    RamKind kind;
} HugeRange;

/* All mappings that have huge pages by the policy, by address: an array of
 * HugeRange.  The kernel walks the process's memory for this. */
GArray *huge_ranges_read(const HugePolicy *policy);

/* Whether all from start to end is in one of them, and of that kind. */
bool huge_ranges_have(const GArray *ranges, RamKind kind, uint64_t start,
                      uint64_t end);

/* Whether so many of a huge page's pages, of small ones, are enough for a whole
 * one: at least half.  What the kernel itself fills may well be emptier; but
 * memory that the guest does not use is not to be taken without need. */
static inline bool huge_ranges_is_dense(uint64_t n_in_file, uint64_t n_pages)
{
    return n_in_file * 2 >= n_pages;
}
