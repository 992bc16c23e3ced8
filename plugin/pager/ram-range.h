/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What kind of memory an address range of this process is, and whether guest
 * RAM of that kind can be loaded lazily at all.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "plugin/pager/uffd.h"

#define PAGER_ERROR (pager_error_quark())

typedef enum {
    PAGER_ERROR_RAM,      /* memory that cannot be loaded lazily */
    PAGER_ERROR_SYSTEM,   /* a system call failed */
    PAGER_ERROR_SNAPSHOT, /* the snapshot and the machine do not fit */
    PAGER_ERROR_STATE,    /* not now, or not any more */
} PagerError;

GQuark pager_error_quark(void);

typedef enum {
    RAM_ANONYMOUS,      /* private anonymous memory */
    RAM_SHARED,         /* shared memory: memfd, tmpfs, shared anonymous */
    RAM_HUGETLB,        /* reserved huge pages: private … */
    RAM_HUGETLB_SHARED, /* … and shared */
} RamKind;

static inline bool ram_kind_is_hugetlb(RamKind kind)
{
    return kind == RAM_HUGETLB || kind == RAM_HUGETLB_SHARED;
}

/* Of what pages memory is made that is of such a kind. */
typedef struct RamHugePages {
    uint64_t bytes;   /* of each */
    bool is_reserved; /* the kernel has set aside as many as the mapping may
                         need (no MAP_NORESERVE) */
} RamHugePages;

/* Pages of this process, and which of them are in the file. */
typedef struct RamPages {
    uint64_t host; /* the address of the first one */
    uint64_t page_bytes;
    uint64_t n_pages;
    const uint64_t *in_file; /* a bit a page; borrowed */
} RamPages;

/* Open what the functions below need a privilege or a path for, and keep it for
 * the life of the process: before the program gives up its user or its root.
 * Without it they take what there is when they are called. */
void ram_range_prepare(void);

/* Close it again, where nothing was given up.  Nobody may be in one of the
 * functions below. */
void ram_range_unprepare(void);

/*
 * Find out from /proc/self/maps what kind of memory the len_bytes from start
 * on are.  For messages: name, the RAM block's; otherwise, what to do without
 * it, as "load with --policy full".
 * Returns false with PAGER_ERROR_RAM, the reason and the way out, for anything
 * that it would not be safe to watch with userfaultfd.
 */
bool ram_range_check(const char *name, uint64_t start, uint64_t len_bytes,
                     const char *otherwise, RamKind *ret_kind, GError **error);

/* What pages the memory at start has, of kind RAM_HUGETLB or
 * RAM_HUGETLB_SHARED.  Returns false with PAGER_ERROR. */
bool ram_range_huge_pages(const char *name, uint64_t start,
                          const char *otherwise, RamHugePages *ret_pages,
                          GError **error);

/* The same where a part of the range is locked: ram_range_discard() cannot
 * give that back. */
bool ram_range_check_unlocked(const char *name, uint64_t start,
                              uint64_t len_bytes, const char *otherwise,
                              GError **error);

/* Whether the memory at start is to come from certain NUMA nodes. */
bool ram_range_is_bound(uint64_t start);

/* Give the range's pages back to the kernel, so that each is missing.
 * Returns 0 or -errno. */
int ram_range_discard(RamKind kind, uint64_t start, uint64_t len_bytes);

/* Have each of the range's pages be there, whatever is in it, or none where the
 * kernel cannot be asked (before Linux 5.14).  Returns 0 or -errno; then, with
 * huge pages, there were too few. */
int ram_range_populate(uint64_t start, uint64_t len_bytes);

/* Before parts of the range are registered: see that its mappings become one
 * again when they are not any more.  page_bytes: the host's page size.  Without
 * it, or before Linux 5.14, the kernel never merges mappings that have had
 * private pages of their own before they were one. */
void ram_range_keep_together(RamKind kind, uint64_t start, uint64_t page_bytes);

/* While the range is registered, and its holes are the pages that are missing:
 * keep those from it that would fill them, where the kernel lets them.  And
 * let them have it again. */
void ram_range_keep_holes(RamKind kind, uint64_t start, uint64_t len_bytes);
void ram_range_release_holes(RamKind kind, uint64_t start, uint64_t len_bytes);

/* uffd_open() with PAGER_ERROR_SYSTEM, which says what is needed, or what to
 * do without it (otherwise, as above). */
bool ram_range_open_uffd(int *ret_fd, UffdCaps *ret_caps, const char *otherwise,
                         GError **error);

/* The same of uffd_open_with_removals(). */
bool ram_range_open_uffd_with_removals(int *ret_fd, UffdCaps *ret_caps,
                                       const char *otherwise, GError **error);
