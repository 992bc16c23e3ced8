/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A shadow: a second mapping, where the pages of private anonymous memory wait
 * for their first touch.
 *
 * Theory of operation
 *
 * Pages move between the memory and its shadow with UFFDIO_MOVE, which moves
 * page tables and no bytes.  There are no states beside the kernel's page
 * tables, in which each page is at every instant in one place, or in none:
 *
 *   memory   shadow   a fault in the memory means
 *   missing  present  move it back: its first touch
 *   missing  missing  it never was, or was given back: place zeroes
 *   present  missing  somebody was faster: wake
 *
 * A page that cannot be moved away (merged by KSM, shared with a fork, pinned
 * for DMA) stays in the memory, and touches of it are not seen.  One
 * that cannot be moved back is copied.
 *
 * Memory that is given back (madvise(): balloon, free page reporting,
 * virtio-mem) is to be gone from both.  The kernel reports a removal before it
 * empties the memory, lets the giver go on as soon as the message is read, and
 * until then moves nothing into the memory.  So the whole thing is sound if
 * whoever reads messages also discards in the shadow what they name, before
 * any further page moves back.  That is why one thread owns a shadow: first the
 * one that fills it, and reads no messages, and then the one that reads them.
 *
 *   fill            who gives back waits, its pages still in the memory; they
 *                   move into the shadow, and are discarded there when the
 *                   message is read.  (The shadow is filled through another
 *                   userfaultfd, which the waiting does not hold up.)
 *   answer, empty   move nothing while a message is unread (UFFD_AGAIN), and
 *                   find nothing to move once it is
 *
 * Whoever was let go empties the memory a moment later, and nobody can see
 * when. So a shadow must not be filled while somebody that an earlier one has
 * let go may still do so.  QEMU gives back in its main loop, which also carries
 * out the commands between two windows.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plugin/pager/resident.h"

/* All is back; nothing is watched any more. */
#define SHADOW_EMPTY 2

/* How far moving one stretch has come. */
typedef struct ShadowMove {
    int uffd; /* that the destination is registered with */
    uint64_t dst;
    uint64_t src;
    uint64_t left_bytes;
    uint64_t piece_bytes; /* of the next call */
    uint64_t max_bytes;   /* … at the most */
} ShadowMove;

/* Zero it before shadow_map(). */
typedef struct Shadow {
    uint64_t memory; /* constant once mapped, as all down to watcher */
    uint64_t len_bytes;
    uint64_t page_bytes;
    uint64_t start;
    void *map; /* larger than the shadow, for its alignment */
    uint64_t map_bytes;

    int pagemap; /* resident_open()'s */
    int watcher; /* the memory's userfaultfd, which tells of removals */
    int filler;  /* the shadow's, while it fills */
    bool watched;
    bool filling;
    bool emptying;
    ResidentWalk walk; /* while it empties, as the next */
    ShadowMove move;

    uint64_t unmovable_pages;   /* have stayed in the memory */
    uint64_t copied_pages;      /* did not move back */
    uint64_t huge_bytes_filled; /* in huge pages */
    uint64_t huge_bytes_left;   /* … when it began to empty */
} Shadow;

/* Map a shadow of the memory, still empty.  Returns 0 or -errno. */
int shadow_map(Shadow *shadow, uint64_t memory, uint64_t len_bytes);

/* It must be empty.  Once for all that was mapped, or that was zeroed. */
void shadow_unmap(Shadow *shadow);

/* Watch the memory and move its pages into the shadow.  The descriptors are
 * borrowed; pagemap may be -1.  Who touches the memory waits from now on until
 * somebody answers.  Returns 0 or -errno; after an error shadow_empty() undoes
 * what was done. */
int shadow_fill(Shadow *shadow, int pagemap, int watcher, int filler);

/* Answer a fault at off_bytes.  *ret_touched, also when it is to be tried
 * again: whether that was the page's first touch.
 * Returns 0, or UFFD_AGAIN: not just now; read messages, and try again. */
int shadow_answer(Shadow *shadow, uint64_t off_bytes, bool *ret_touched);

/* The memory from start to end is being given back; what of it is none of this
 * memory is ignored. */
void shadow_discard(Shadow *shadow, uint64_t start, uint64_t end);

/* Move some of what is left back; when there is nothing any more, stop watching
 * the memory.  Returns 0, UFFD_AGAIN as above, or SHADOW_EMPTY. */
int shadow_empty(Shadow *shadow);
