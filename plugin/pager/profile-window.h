/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profiling window: records the first touches of memory that is in use,
 * in place.
 *
 * Theory of operation
 *
 * Anonymous memory.  Opening the window moves every page into a shadow
 * (plugin/pager/shadow.h).  The first touch of a page then faults, and the
 * window's thread notes it and moves that page back.  Closing moves the rest
 * back.
 *
 * Shared memory.  Nothing is moved: opening drops the page tables, the pages
 * stay in the page cache, and a first touch makes a minor fault, which is
 * noted and answered with UFFDIO_CONTINUE.  What is punched out of the file
 * meanwhile is a hole as ever, which the kernel fills with zeroes.
 *
 * One thread owns it all from the opening on, the closing included: it reads
 * what the kernel reports, and never waits for anything else while something
 * may be reported.  What cannot be answered at once it tries again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "plugin/pager/load-stats.h"
#include "plugin/pager/pager.h"
#include "profiler/orders/recorder.h"

typedef struct ProfileWindow ProfileWindow;

typedef struct ProfileWindowCost {
    uint64_t close_us;         /* the time that closing took */
    uint64_t pinned_pages;     /* could not be moved, were not watched */
    uint64_t copied_pages;     /* could not be moved back, were copied */
    uint64_t huge_pages_split; /* by first touches, or given back */
} ProfileWindowCost;

/*
 * Open the window over the ranges: all are watched when this returns.  First
 * touches go to recorder (the block's index there is the range's here) and
 * faults to stats; both are borrowed until profile_window_close().
 *
 * Returns NULL with PAGER_ERROR, with everything where it was.
 */
ProfileWindow *profile_window_open(const PagerRange *ranges, size_t n_ranges,
                                   Recorder *recorder, LoadStats *stats,
                                   GError **error);

/* Move back what has not been touched, stop watching, free.  Cannot fail:
 * where the system has no memory just now, it waits for it. */
void profile_window_close(ProfileWindow *window, ProfileWindowCost *ret_cost);
