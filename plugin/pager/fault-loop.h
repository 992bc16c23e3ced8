/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fault threads: they take faults off one userfaultfd and hand each to a
 * handler.  Several, so that a guest with several vCPUs does not wait behind
 * the slowest read.
 */
#pragma once

#include "plugin/pager/uffd.h"

typedef struct FaultLoop FaultLoop;

/* Called in a fault thread; worker counts the threads from 0, for memory
 * that a thread has to itself. */
typedef void FaultHandler(void *opaque, unsigned worker,
                          const UffdFault *fault);

/* Start n_threads threads on uffd, which stays the caller's and open until
 * fault_loop_stop().  Returns 0 or -errno. */
int fault_loop_start(int uffd, unsigned n_threads, FaultHandler *handler,
                     void *opaque, FaultLoop **ret_loop);

/* Let the threads end what they do, join them, free.  NULL is fine. */
void fault_loop_stop(FaultLoop *loop);
