/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fault threads: they read what one userfaultfd reports, and hand each
 * fault to a handler.  Several handlers may run at once, so that a guest with
 * several vCPUs does not wait behind the slowest read.
 *
 * Somebody always reads.  There is one thread more than there may be handlers
 * at work.  Whoever reads a fault handles it itself if it may; if enough others
 * are at work already, it leaves the fault to the first of them that is done,
 * and reads on.  This is for removals: who gives memory back waits in the
 * kernel until the removal has been read, and meanwhile nobody can fill a
 * page (UFFD_AGAIN).  It must not have to wait for storage.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "plugin/pager/uffd.h"

typedef struct FaultLoop FaultLoop;

/* Called in a fault thread; worker, below n_threads, is no other call's at
 * this time: for memory that a handler has to itself. */
typedef void FaultHandler(void *opaque, unsigned worker,
                          const UffdFault *fault);

/* Called in a fault thread for memory that somebody gives back; it may be gone
 * already, or be gone a moment later.  Must not wait for anything but locks
 * that are held for moments. */
typedef void RemovalHandler(void *opaque, const UffdRemoval *removal);

typedef struct FaultHandlers {
    FaultHandler *fault;
    RemovalHandler *removal; /* NULL: removals are read, and that is all … */
    /* … and so are those that began before this was set.  (Who sets it may not
     * otherwise know whether one of them has been dealt with: it is over for
     * whoever gave back as soon as it has been read.) */
    const _Atomic bool *heeds_removals;
    void *opaque;
} FaultHandlers;

/* Start threads on uffd, which stays the caller's and open until
 * fault_loop_stop(), for up to n_threads faults at once.
 * Returns 0 or -errno. */
int fault_loop_start(int uffd, unsigned n_threads, FaultHandler *handler,
                     void *opaque, FaultLoop **ret_loop);

/* The same with all handlers; but until fault_loop_release() faults are only
 * read, and kept. */
int fault_loop_start_held(int uffd, unsigned n_threads,
                          const FaultHandlers *handlers, FaultLoop **ret_loop);

/* Handle what was kept, and all that comes.  Cannot fail. */
void fault_loop_release(FaultLoop *loop);

/* Let the handlers end what they do, join the threads, free.  Faults that were
 * kept and not handled are forgotten; the memory is to be unregistered before.
 * NULL is fine. */
void fault_loop_stop(FaultLoop *loop);
