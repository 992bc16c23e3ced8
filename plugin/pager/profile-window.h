/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profiling window: records the first touches of memory that is in use,
 * in place.
 *
 * Theory of operation
 *
 * Anonymous memory.  Opening the window registers the memory and a shadow
 * mapping of the same size with userfaultfd, and moves every page from the
 * one into the other (UFFDIO_MOVE: page tables only).  The first touch of a
 * page then faults, and a fault thread notes it and moves that page back.
 * Closing moves the rest back.  There are no states beside the kernel's page
 * tables, in which each page is at every instant in exactly one place:
 *
 *   memory   shadow   a fault there means
 *   missing  present  move it back, note it
 *   missing  missing  it never was, or was discarded: place zeroes
 *   present  missing  somebody was faster: wake
 *
 * A page that cannot be moved away (pinned for DMA, shared by fork) stays and
 * counts as touched at once.  One that cannot be moved back is copied.
 *
 * Shared memory.  Nothing is moved: opening drops the page tables, the pages
 * stay in the page cache, and a first touch makes a minor fault, which is
 * noted and answered with UFFDIO_CONTINUE.
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
    uint64_t open_us;          /* the time that opening took */
    uint64_t close_us;         /* the time that closing took */
    uint64_t pinned_pages;     /* could not be moved, count as touched */
    uint64_t copied_pages;     /* could not be moved back, were copied */
    uint64_t huge_pages_split; /* for good, as far as can be told */
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
