/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How pages are put into guest memory, chosen for each block.
 *
 * Addresses are host virtual addresses, lengths are in bytes, both multiples
 * of the block's unit.
 */
#pragma once

#include <stdint.h>

typedef struct Placer Placer;

typedef struct PlacerOps {
    /*
     * Put what is at src into the missing pages at dst, without waking who
     * waits for them.  *ret_done: bytes that are in place, or that nobody
     * needs any more since their memory is gone.
     * Returns 0, or the -errno that the unit at dst + *ret_done met; -EEXIST:
     * somebody else has filled it.
     */
    int (*place)(const Placer *placer, uint64_t dst, const void *src,
                 uint64_t len_bytes, uint64_t *ret_done);
    /* Make the unit at dst zero unless it is there, and wake who waits for it.
     * Returns 0 or -errno. */
    int (*zero)(const Placer *placer, uint64_t dst);
    /* Wake who waits for these pages. */
    void (*wake)(const Placer *placer, uint64_t dst, uint64_t len_bytes);
    /*
     * The same as place, but the pages at src, private anonymous memory that
     * is not needed afterwards, become those at dst; who waits is woken or
     * not.  A huge page stays one.  What is not missing stays what it is, and
     * ends it.  NULL: this cannot be done.
     */
    int (*move)(const Placer *placer, uint64_t dst, void *src,
                uint64_t len_bytes, uint64_t *ret_done);
} PlacerOps;

/* A value: copy it as you like. */
struct Placer {
    const PlacerOps *ops;
    int uffd; /* borrowed */
    uint64_t unit_bytes;
    const void *zeroes; /* unit_bytes of them, borrowed; NULL: the kernel makes
                           its own */
};

/* Copies the bytes, with UFFDIO_COPY. */
Placer placer_copy(int uffd, uint64_t unit_bytes);

/* The same for reserved huge pages, which the kernel places no zeroes in. */
Placer placer_copy_hugetlb(int uffd, uint64_t unit_bytes, const void *zeroes);

/* For guest RAM that is mapped from memory which has the pages once they are
 * read: there is nothing more to do than to wake. */
Placer placer_wake(int uffd, uint64_t unit_bytes);

/* The same, and moves with UFFDIO_MOVE what can be moved. */
Placer placer_move(int uffd, uint64_t unit_bytes);
