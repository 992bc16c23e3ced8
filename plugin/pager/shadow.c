/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/shadow.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "plugin/pager/uffd.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* What is moved in one call: the kernel holds locks meanwhile.  On the way back
 * faults wait for it. */
#define FILL_BYTES  (UINT64_C(32) << 20)
#define EMPTY_BYTES (UINT64_C(4) << 20)

/* A hole in the middle of a call costs less than a call.  Not on the way back:
 * there most holes are pages that are back already, and end a call. */
#define FILL_GAP_PAGES 8

/* ---- the mapping ---- */

/* Advice that shapes the mapping; where a kernel does not know it, there is
 * nothing that it would keep off. */
static void advise(void *map, uint64_t map_bytes)
{
    static const int advices[] = {
        MADV_DONTFORK,    /* a page shared with a fork could not move back */
        MADV_UNMERGEABLE, /* … nor could one that is merged; a whole process
                             may be for KSM (PR_SET_MEMORY_MERGE) */
        MADV_NOHUGEPAGE,  /* khugepaged would fill holes.  Huge pages that are
                             moved here stay whole */
        MADV_DONTDUMP,    /* the memory may be so as well */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(advices); i++) {
        (void)madvise(map, map_bytes, advices[i]);
    }
}

/* As far from a huge page's border as the memory, so that huge pages move
 * whole.  Not accessible before it is unlocked: where all memory of the process
 * is to be locked, the kernel would fill it at once, and so need the memory
 * twice. */
int shadow_map(Shadow *shadow, uint64_t memory, uint64_t len_bytes)
{
    uint64_t map_bytes = len_bytes + HUGE_PAGE_BYTES;
    void *map = mmap(NULL, map_bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED) {
        return -errno;
    }
    if (munlock(map, map_bytes) != 0 ||
        mprotect(map, map_bytes, PROT_READ | PROT_WRITE) != 0) {
        int rc = -errno;

        munmap(map, map_bytes);
        return rc;
    }
    advise(map, map_bytes);
    shadow->memory = memory;
    shadow->len_bytes = len_bytes;
    shadow->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    shadow->start =
        (uintptr_t)map + ((memory - (uintptr_t)map) & (HUGE_PAGE_BYTES - 1));
    shadow->map = map;
    shadow->map_bytes = map_bytes;
    return 0;
}

void shadow_unmap(Shadow *shadow)
{
    if (shadow->map) {
        munmap(shadow->map, shadow->map_bytes);
    }
}

/* Discard in the shadow, whose addresses these are. */
static void discard(uint64_t start, uint64_t end)
{
    /* Cannot fail for a mapping of our own, locked since or not. */
    (void)madvise((void *)(uintptr_t)start, end - start, MADV_DONTNEED_LOCKED);
}

/* ---- moving a stretch ---- */

static ShadowMove move_begin(int uffd, uint64_t dst, uint64_t src,
                             uint64_t len_bytes, uint64_t max_bytes)
{
    return (ShadowMove){
        .uffd = uffd,
        .dst = dst,
        .src = src,
        .left_bytes = len_bytes,
        .piece_bytes = max_bytes,
        .max_bytes = max_bytes,
    };
}

static void move_advance(ShadowMove *move, uint64_t len_bytes)
{
    len_bytes = MIN(len_bytes, move->left_bytes);
    move->dst += len_bytes;
    move->src += len_bytes;
    move->left_bytes -= len_bytes;
}

/* One call to the kernel.  Returns 0 when it went on, UFFD_AGAIN, or else what
 * is the matter with the page that is next. */
static int move_some(ShadowMove *move, uint64_t page_bytes)
{
    uint64_t want_bytes = MIN(move->piece_bytes, move->left_bytes);
    uint64_t done;
    int rc =
        uffd_move(move->uffd, move->dst, move->src, want_bytes, true, &done);

    move_advance(move, done);
    if (rc == 0) {
        move->piece_bytes = MIN(move->piece_bytes * 2, move->max_bytes);
    }
    if (done > 0) {
        return 0;
    }
    if ((rc == -EINVAL || rc == -ENOENT) && want_bytes > page_bytes) {
        /* Perhaps across the border of two kernel mappings. */
        move->piece_bytes = MAX(want_bytes / 2 & -page_bytes, page_bytes);
        return 0;
    }
    return rc;
}

/* ---- filling ---- */

static int watch(Shadow *shadow)
{
    int rc = uffd_register(shadow->filler, shadow->start, shadow->len_bytes,
                           UFFD_MISSING);

    shadow->filling = rc == 0;
    if (rc == 0) {
        rc = uffd_register(shadow->watcher, shadow->memory, shadow->len_bytes,
                           UFFD_MISSING);
        shadow->watched = rc == 0;
    }
    return rc;
}

static void end_filling(Shadow *shadow)
{
    if (shadow->filling) {
        /* Cannot fail for a mapping of our own. */
        (void)uffd_unregister(shadow->filler, shadow->start, shadow->len_bytes);
        shadow->filling = false;
    }
}

/* How much from here on, the next page at the least, cannot be moved as the
 * next page cannot.  A huge page is left whole: to try for a part of it would
 * split it.  Of a run of shared pages the kernel would refuse each, at several
 * times the price of moving one. */
static uint64_t unmovable_bytes(Shadow *shadow, const ShadowMove *move)
{
    if (resident_is_huge(shadow->pagemap, move->src)) {
        uint64_t len_bytes = MIN(HUGE_PAGE_BYTES, move->left_bytes);

        shadow->huge_bytes_filled -= len_bytes;
        return len_bytes;
    }
    return MAX(resident_shared_bytes(shadow->pagemap, move->src,
                                     move->src + move->left_bytes),
               shadow->page_bytes);
}

/* A page that is not to move: merged, shared or pinned (-EBUSY), or one of
 * zeroes, which Linux 6.8 does not move and no load has to bring; or its memory
 * has failed, and it stays where that is known (-EFAULT).  One that is in the
 * shadow already has moved: only this moving fills the shadow, and the kernel
 * may have moved more than it told when it said "again". */
static bool leave(Shadow *shadow, ShadowMove *move, int rc)
{
    if (rc == -EBUSY) {
        uint64_t end = move->src + move->left_bytes;
        uint64_t len_bytes =
            resident_zero_bytes(shadow->pagemap, move->src, end);

        if (len_bytes > 0) {
            move_advance(move, len_bytes);
            return true;
        }
        len_bytes = unmovable_bytes(shadow, move);

        shadow->unmovable_pages += len_bytes / shadow->page_bytes;
        move_advance(move, len_bytes);
        return true;
    }
    if (rc == -EFAULT || rc == UFFD_EXISTS) {
        move_advance(move, shadow->page_bytes);
        return true;
    }
    return false;
}

static int fill_stretch(Shadow *shadow, ShadowMove *move)
{
    while (move->left_bytes > 0) {
        int rc = move_some(move, shadow->page_bytes);

        if (rc == UFFD_AGAIN) {
            sched_yield();
        } else if (rc != 0 && !leave(shadow, move, rc)) {
            return rc;
        }
    }
    return 0;
}

int shadow_fill(Shadow *shadow, int pagemap, int watcher, int filler)
{
    uint64_t start;
    uint64_t end;
    ResidentWalk walk;

    shadow->pagemap = pagemap;
    shadow->watcher = watcher;
    shadow->filler = filler;
    int rc = watch(shadow);

    resident_walk_begin(&walk, pagemap, shadow->memory,
                        shadow->memory + shadow->len_bytes, FILL_BYTES,
                        FILL_GAP_PAGES * shadow->page_bytes);
    while (rc == 0 && resident_walk_next(&walk, &start, &end)) {
        ShadowMove move =
            move_begin(filler, shadow->start + (start - shadow->memory), start,
                       end - start, FILL_BYTES);

        rc = fill_stretch(shadow, &move);
    }
    shadow->huge_bytes_filled += walk.huge_bytes;
    end_filling(shadow);
    return rc;
}

/* ---- faults and removals ---- */

/* Bring a page back by copying it.
 *
 * move_rc: why the page does not move.  Where the kernel says that its memory
 * has failed, and it cannot be read either, it fails for the guest as it would
 * have without a shadow.  Reading alone may also fail for want of memory. */
static int copy_back(Shadow *shadow, uint64_t off_bytes, int move_rc)
{
    uint64_t dst = shadow->memory + off_bytes;
    uint64_t src = shadow->start + off_bytes;
    uint64_t done;
    int rc = uffd_copy(shadow->watcher, dst, (void *)(uintptr_t)src,
                       shadow->page_bytes, &done);

    if (rc == 0) {
        discard(src, src + shadow->page_bytes);
        shadow->copied_pages++;
    }
    if (rc == -EFAULT && move_rc == -EFAULT) {
        rc = uffd_poison(shadow->watcher, dst, shadow->page_bytes);
    }
    if (rc == 0 || rc == UFFD_EXISTS) {
        (void)uffd_wake(shadow->watcher, dst, shadow->page_bytes);
        return 0;
    }
    /* -ENOENT: the memory was unplugged, and nobody waits for it. */
    return rc == -ENOENT ? 0 : UFFD_AGAIN;
}

int shadow_answer(Shadow *shadow, uint64_t off_bytes, bool *ret_touched)
{
    uint64_t dst = shadow->memory + off_bytes;
    uint64_t done;
    int rc = uffd_move(shadow->watcher, dst, shadow->start + off_bytes,
                       shadow->page_bytes, false, &done);

    *ret_touched = rc == 0;
    if (rc == -ENOENT) {
        rc = uffd_zero(shadow->watcher, dst, shadow->page_bytes);
    }
    if (rc == UFFD_EXISTS) {
        (void)uffd_wake(shadow->watcher, dst, shadow->page_bytes);
        return 0;
    }
    /* -EINVAL: locked or write-protected since, unlike the shadow. */
    if (rc == -EBUSY || rc == -EFAULT || rc == -EINVAL) {
        uint64_t copied_before = shadow->copied_pages;

        rc = copy_back(shadow, off_bytes, rc);
        *ret_touched = shadow->copied_pages > copied_before;
    }
    return rc == 0 || rc == -ENOENT ? 0 : UFFD_AGAIN;
}

void shadow_discard(Shadow *shadow, uint64_t start, uint64_t end)
{
    uint64_t memory_end = shadow->memory + shadow->len_bytes;

    start = MAX(start, shadow->memory);
    end = MIN(end, memory_end);
    if (start < end) {
        discard(shadow->start + (start - shadow->memory),
                shadow->start + (end - shadow->memory));
    }
}

/* ---- emptying ---- */

static void begin_emptying(Shadow *shadow)
{
    uint64_t end = shadow->start + shadow->len_bytes;

    /* After a failure.  Before a page is copied: nobody would answer who reads
     * a hole. */
    end_filling(shadow);
    resident_walk_begin(&shadow->walk, shadow->pagemap, shadow->start, end,
                        EMPTY_BYTES, 0);
    shadow->move.left_bytes = 0;
    shadow->emptying = true;
}

static bool next_stretch(Shadow *shadow)
{
    uint64_t start;
    uint64_t end;

    if (!resident_walk_next(&shadow->walk, &start, &end)) {
        return false;
    }
    shadow->move =
        move_begin(shadow->watcher, shadow->memory + (start - shadow->start),
                   start, end - start, EMPTY_BYTES);
    return true;
}

static void stop_watching(Shadow *shadow)
{
    shadow->huge_bytes_left = shadow->walk.huge_bytes;
    shadow->watched = false;
    /* Wakes everybody; fails only where the memory is gone. */
    (void)uffd_unregister(shadow->watcher, shadow->memory, shadow->len_bytes);
}

int shadow_empty(Shadow *shadow)
{
    ShadowMove *move = &shadow->move;

    if (!shadow->emptying) {
        begin_emptying(shadow);
    }
    if (!shadow->watched) {
        return SHADOW_EMPTY;
    }
    if (move->left_bytes == 0 && !next_stretch(shadow)) {
        stop_watching(shadow);
        return SHADOW_EMPTY;
    }
    int rc = move_some(move, shadow->page_bytes);
    if (rc == 0 || rc == UFFD_AGAIN) {
        return rc;
    }
    if (rc != UFFD_EXISTS &&
        copy_back(shadow, move->src - shadow->start, rc) != 0) {
        return UFFD_AGAIN;
    }
    move_advance(move, shadow->page_bytes);
    return 0;
}
