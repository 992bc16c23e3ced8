/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/placer.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>

#include <glib.h>

#include "plugin/pager/uffd.h"

/* So often a page that is in use is tried again before it is copied. */
#define MAX_BUSY 100

/* Whether the huge page at dst is there: in the page tables, or, of shared
 * memory, in its file; then it is in the page tables as well now. */
static bool is_there(const Placer *placer, uint64_t dst)
{
    unsigned char resident = 0;
    uint64_t done;

    if (mincore((void *)(uintptr_t)dst, 1, &resident) == 0 && resident & 1) {
        return true;
    }
    int rc = uffd_continue(placer->uffd, dst, placer->unit_bytes, &done);
    return rc == 0 || rc == UFFD_EXISTS;
}

/* uffd_copy().  Where no reserved huge page is free, the kernel mostly says
 * that one is there: not so this. */
static int copy(const Placer *placer, uint64_t dst, const void *src,
                uint64_t len_bytes, uint64_t *ret_done)
{
    int rc = uffd_copy(placer->uffd, dst, src, len_bytes, ret_done);
    bool is_hugetlb = placer->zeroes != NULL;

    return rc == UFFD_EXISTS && is_hugetlb && !is_there(placer, dst) ? -ENOMEM
                                                                     : rc;
}

/* -ENOENT: the memory is not registered there.  For several units this may
 * mean that they cross from one mapping into the next, so that they go one by
 * one; for a single unit, that its memory was unplugged while it was loading,
 * and nobody needs it any more.
 * UFFD_EXISTS: something that is not us has filled the page, which could only
 * be wrong; that is a failure. */
static int copy_place(const Placer *placer, uint64_t dst, const void *src,
                      uint64_t len_bytes, uint64_t *ret_done)
{
    uint64_t at_once = len_bytes;

    *ret_done = 0;
    while (*ret_done < len_bytes) {
        uint64_t done = 0;
        int rc = copy(placer, dst + *ret_done, (const uint8_t *)src + *ret_done,
                      MIN(at_once, len_bytes - *ret_done), &done);

        *ret_done += done;
        if (rc == UFFD_AGAIN) {
            sched_yield();
        } else if (rc == -ENOENT && at_once > placer->unit_bytes) {
            at_once = placer->unit_bytes;
        } else if (rc == -ENOENT) {
            *ret_done += placer->unit_bytes;
        } else if (rc != 0) {
            return rc == UFFD_EXISTS ? -EEXIST : rc;
        }
    }
    return 0;
}

/* Returns as uffd_zero() does; like that, it wakes. */
static int place_zeroes(const Placer *placer, uint64_t dst)
{
    uint64_t done;

    if (!placer->zeroes) {
        return uffd_zero(placer->uffd, dst, placer->unit_bytes);
    }
    int rc = copy(placer, dst, placer->zeroes, placer->unit_bytes, &done);
    return rc == 0 ? uffd_wake(placer->uffd, dst, placer->unit_bytes) : rc;
}

static int copy_zero(const Placer *placer, uint64_t dst)
{
    for (;;) {
        int rc = place_zeroes(placer, dst);

        if (rc == UFFD_EXISTS) {
            rc = uffd_wake(placer->uffd, dst, placer->unit_bytes);
        }
        if (rc != UFFD_AGAIN) {
            return rc == -ENOENT ? 0 : rc;
        }
        sched_yield();
    }
}

static void copy_wake(const Placer *placer, uint64_t dst, uint64_t len_bytes)
{
    /* Cannot fail but for memory that is not registered, where nobody
     * waits. */
    (void)uffd_wake(placer->uffd, dst, len_bytes);
}

/* -EBUSY: the storage's driver may still hold a page that it has just read. */
static int move_pages(const Placer *placer, uint64_t dst, void *src,
                      uint64_t len_bytes, uint64_t *ret_done)
{
    unsigned n_busy = 0;

    *ret_done = 0;
    while (*ret_done < len_bytes) {
        uint64_t done = 0;
        int rc =
            uffd_move(placer->uffd, dst + *ret_done, (uintptr_t)src + *ret_done,
                      len_bytes - *ret_done, false, &done);

        *ret_done += done;
        if (rc == UFFD_AGAIN || (rc == -EBUSY && n_busy++ < MAX_BUSY)) {
            sched_yield();
        } else if (rc != 0) {
            return rc == UFFD_EXISTS ? -EEXIST : rc;
        }
    }
    return 0;
}

Placer placer_copy(int uffd, uint64_t unit_bytes)
{
    static const PlacerOps ops = {copy_place, copy_zero, copy_wake, NULL};

    return (Placer){.ops = &ops, .uffd = uffd, .unit_bytes = unit_bytes};
}

Placer placer_copy_hugetlb(int uffd, uint64_t unit_bytes, const void *zeroes)
{
    Placer placer = placer_copy(uffd, unit_bytes);

    placer.zeroes = zeroes;
    return placer;
}

Placer placer_move(int uffd, uint64_t unit_bytes)
{
    static const PlacerOps ops = {copy_place, copy_zero, copy_wake, move_pages};

    return (Placer){.ops = &ops, .uffd = uffd, .unit_bytes = unit_bytes};
}

static int wake_place(const Placer *placer, uint64_t dst, const void *src,
                      uint64_t len_bytes, uint64_t *ret_done)
{
    *ret_done = len_bytes;
    return 0;
}

Placer placer_wake(int uffd, uint64_t unit_bytes)
{
    static const PlacerOps ops = {wake_place, copy_zero, copy_wake};

    return (Placer){.ops = &ops, .uffd = uffd, .unit_bytes = unit_bytes};
}
