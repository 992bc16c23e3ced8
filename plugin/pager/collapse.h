/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Huge pages after a load.
 *
 * Memory that was loaded page by page has small pages afterwards, also where
 * the kernel would have filled it with huge ones.  khugepaged would need hours
 * to repair that.  This does it at once (MADV_COLLAPSE) for dense stretches, of
 * which half of the pages or more came from the file and nearly all of these
 * are still there, but only where the kernel's settings and the memory's advice
 * call for huge pages.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/pager/huge-policy.h"
#include "plugin/pager/ram-range.h"

typedef struct Collapse Collapse;

/*
 * Find out what of the ranges has huge pages by the policy, and is dense by
 * the file.  Best called while the memory is still empty: the kernel walks it
 * for this.  Returns NULL where there is nothing to do.
 */
Collapse *collapse_new(const HugePolicy *policy, const RamPages *ranges,
                       size_t n_ranges);

/*
 * Make the huge pages; what has been given back meanwhile stays away.  Pauses
 * again and again, since a page that is being copied cannot be used.  Ends
 * early when *stop is set, or when the system has no huge pages.
 * Returns how many of the stretches are huge pages now.
 */
uint64_t collapse_run(Collapse *collapse, const _Atomic bool *stop);

/* NULL is fine. */
void collapse_free(Collapse *collapse);
