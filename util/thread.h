/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Starting a thread inside somebody else's process.
 */
#pragma once

#include <pthread.h>

/* Start a thread that gets none of the process's signals: these are for the
 * host program's own threads.  name: at most 15 characters.  To be joined or
 * detached.  Returns 0 or -errno. */
int thread_start(pthread_t *ret_thread, const char *name,
                 void *(*function)(void *), void *argument);

/* How many CPUs the calling thread may use; 1 at least. */
unsigned thread_count_cpus(void);
