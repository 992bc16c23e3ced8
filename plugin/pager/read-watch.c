/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/read-watch.h"

#include "util/clock.h"

void read_slot_begin(ReadSlot *slot, const PageSpan *span)
{
    /* Release: who sees these sees that the read before has ended. */
    atomic_store_explicit(&slot->block, span->block, memory_order_release);
    atomic_store_explicit(&slot->page, span->first_page, memory_order_release);
    /* Release: who sees the time sees which page it is, or a later one. */
    atomic_store_explicit(&slot->begin_us, monotonic_us(),
                          memory_order_release);
}

void read_slot_end(ReadSlot *slot)
{
    /* Relaxed: publishes nothing. */
    atomic_store_explicit(&slot->begin_us, 0, memory_order_relaxed);
}

bool read_slot_is_slow(ReadSlot *slot, uint64_t limit_us, PageSpan *ret_span,
                       uint64_t *ret_us, bool *ret_again)
{
    /* Acquire: see read_slot_begin(). */
    uint64_t begin_us =
        atomic_load_explicit(&slot->begin_us, memory_order_acquire);
    uint64_t now_us = monotonic_us();

    if (begin_us == 0 || now_us - begin_us < limit_us ||
        (begin_us == slot->told_us && now_us < slot->next_us)) {
        return false;
    }
    /* Acquire: had one of them been the next read's, the second look at
     * begin_us would show that this one has ended. */
    size_t block = atomic_load_explicit(&slot->block, memory_order_acquire);
    uint64_t page = atomic_load_explicit(&slot->page, memory_order_acquire);
    if (atomic_load_explicit(&slot->begin_us, memory_order_relaxed) !=
        begin_us) {
        return false;
    }
    *ret_again = begin_us == slot->told_us;
    slot->told_us = begin_us;
    slot->next_us = now_us + READ_WATCH_AGAIN * limit_us;
    *ret_span = (PageSpan){block, page, 1};
    *ret_us = now_us - begin_us;
    return true;
}
