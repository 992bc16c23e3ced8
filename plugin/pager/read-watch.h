/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which reads are under way, and since when: so that another
 * thread can report a read that hangs.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plugin/pager/page-source.h"

#define READ_WATCH_AGAIN 12

/* One thread's reads, one at a time; that thread alone begins and ends
 * them. */
typedef struct ReadSlot {
    _Atomic uint64_t begin_us; /* 0: none is under way */
    _Atomic size_t block;
    _Atomic uint64_t page;
    uint64_t told_us; /* begin of the one last reported; the watcher's, as … */
    uint64_t next_us; /* … when to report it again */
} ReadSlot;

void read_slot_begin(ReadSlot *slot, const PageSpan *span);
void read_slot_end(ReadSlot *slot);

/* For the one thread that watches: whether to report a read that takes limit_us
 * or longer: when it is first seen, and again after each READ_WATCH_AGAIN times
 * limit_us.  Sets *ret_span to the page that it begins with, *ret_us to how
 * long it has taken, and *ret_again to whether it has been reported before. */
bool read_slot_is_slow(ReadSlot *slot, uint64_t limit_us, PageSpan *ret_span,
                       uint64_t *ret_us, bool *ret_again);
