/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Linux userfaultfd, one function an ioctl.
 *
 * Functions return 0, a positive UFFD_* condition that is expected to happen,
 * or -errno; they print nothing.  Addresses are host virtual addresses of
 * this process, lengths are in bytes, both multiples of the page size.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The range is partly done, or not begun, since the mappings are changing:
 * call again for the rest. */
#define UFFD_AGAIN 1
/* The page at the range's start is present already; nothing was woken. */
#define UFFD_EXISTS 2

/* What the kernel can do, as a set. */
typedef enum {
    UFFD_CAN_SHARED = 1 << 0, /* missing faults on shared memory */
    UFFD_CAN_MINOR = 1 << 1,  /* minor faults on shared memory */
    UFFD_CAN_MOVE = 1 << 2,   /* UFFDIO_MOVE, kernel 6.8 */
} UffdCaps;

/* Which faults a range reports. */
typedef enum {
    UFFD_MISSING,
    UFFD_MINOR,
} UffdMode;

/* One fault. */
typedef struct UffdFault {
    uint64_t address; /* host virtual, of the byte touched, page aligned */
    bool is_write;
    uint32_t thread_id;
} UffdFault;

/* Memory that somebody gives back (madvise()): from start (inclusive) to end
 * (exclusive), page aligned. */
typedef struct UffdRemoval {
    uint64_t start;
    uint64_t end;
} UffdRemoval;

typedef struct UffdMessage {
    bool is_removal; /* which of the two it is */
    UffdFault fault;
    UffdRemoval removal;
} UffdMessage;

/*
 * Open what later calls of uffd_open() need a privilege or a path for, and keep
 * it for the life of the process: before the program gives these up.  May be
 * called again, not by two threads at once; without it uffd_open() takes what
 * there is at that time.
 */
void uffd_prepare(void);

/* Close it again, for a process that has kept its privileges.  Nobody may be
 * opening one. */
void uffd_unprepare(void);

/*
 * Open a userfaultfd (non-blocking, close-on-exec) that also reports faults
 * raised inside the kernel, by KVM or a system call: /dev/userfaultfd where
 * this user may open it, else the system call.
 * -EPERM, -EACCES: not allowed; -ENOSYS, -ENOENT: the kernel has none.
 */
int uffd_open(int *ret_fd, UffdCaps *ret_caps);

/* The same; what is given back in the ranges is reported, too.  Whoever gives
 * back waits until that has been read, and until then the ranges' pages cannot
 * be filled: UFFD_AGAIN.  A range that is moved (mremap()) stays registered
 * where it goes; whoever moves it waits likewise until somebody reads. */
int uffd_open_with_removals(int *ret_fd, UffdCaps *ret_caps);

int uffd_register(int fd, uint64_t start, uint64_t len, UffdMode mode);

/* Wakes all who wait in the range. */
int uffd_unregister(int fd, uint64_t start, uint64_t len);

/* Copy src to the missing pages at dst without waking who waits for them.
 * *ret_done: bytes that are in place now, counted from dst; also set with
 * UFFD_AGAIN and UFFD_EXISTS.  -ENOENT: dst is not registered any more. */
int uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
              uint64_t *ret_done);

/* Move page tables from src (private anonymous memory that nobody shares)
 * to the missing pages at dst, waking who waits.  With skip_holes, pages
 * that src does not have are skipped.  *ret_done as for uffd_copy().
 * -EBUSY: the page cannot be moved (pinned, or shared by fork); -EFAULT: the
 * memory it was in has failed. */
int uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len, bool skip_holes,
              uint64_t *ret_done);

/* Map the pages of the shared memory's page cache at start, waking who
 * waits.  *ret_done as for uffd_copy(). */
int uffd_continue(int fd, uint64_t start, uint64_t len, uint64_t *ret_done);

/* Fill missing pages with zeroes, waking who waits. */
int uffd_zero(int fd, uint64_t start, uint64_t len);

/* Have who touches the missing page at start, of len bytes, get SIGBUS, as of
 * memory that has failed. */
int uffd_poison(int fd, uint64_t start, uint64_t len);

int uffd_wake(int fd, uint64_t start, uint64_t len);

/* Take the next fault or removal.  UFFD_AGAIN: there is none just now. */
int uffd_next_message(int fd, UffdMessage *ret_message);
