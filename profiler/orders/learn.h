/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Improving an order by what one more load has shown.
 */
#pragma once

#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"

/* What one load showed, each as an order of which the extents count; blocks
 * are matched by name. */
typedef struct LoadLesson {
    /* First touches that were demand faults, with their times. */
    const PageOrder *missed;
    /* Pages known to have been touched, and known not to have been; NULL: it
     * is not known.  A page in neither stays as it is. */
    const PageOrder *used;
    const PageOrder *unused;
    /* A page that so many loads in a row did not touch leaves the order; at
     * least 1. */
    uint32_t max_idle_loads;
    uint64_t max_bytes; /* of the order to be made */
} LoadLesson;

/*
 * The order that old becomes by one more load:
 *
 * - Its pages stay in their sequence, but one that was missed moves to the
 *   time of the miss if that is earlier.
 * - Missed pages that it lacks are added where their time puts them.
 * - idle_loads grows by one for unused pages and is 0 for missed and used
 *   ones; pages that were idle too long leave.
 * - If it is larger than max_bytes then, the pages idle for longest leave
 *   first, and of those idle for as long the last ones.
 *
 * Returns a new order, normalised, learned from one run more; or NULL with
 * PROFILER_ERROR_MISMATCH if a block has different page sizes.
 */
PageOrder *order_learn(const PageOrder *old, const LoadLesson *lesson,
                       GError **error);
