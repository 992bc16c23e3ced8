/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which reads are under way, and since when: so that one that hangs can be
 * told by another thread than the one that hangs in it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plugin/pager/page-source.h"

/* One thread's reads, one at a time; that thread alone begins and ends
 * them. */
typedef struct ReadSlot {
    _Atomic uint64_t begin_us; /* 0: none is under way */
    _Atomic size_t block;
    _Atomic uint64_t page;
    uint64_t told_us; /* the begin of the one last told; the watcher's */
} ReadSlot;

void read_slot_begin(ReadSlot *slot, const PageSpan *span);
void read_slot_end(ReadSlot *slot);

/* For the one thread that watches: whether a read that has not been told yet
 * takes limit_us or longer.  Sets *ret_span to the page that it begins with,
 * and *ret_us to how long it has taken. */
bool read_slot_is_slow(ReadSlot *slot, uint64_t limit_us, PageSpan *ret_span,
                       uint64_t *ret_us);
