/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/thread.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <glib.h>

int thread_start(pthread_t *ret_thread, const char *name,
                 void *(*function)(void *), void *argument)
{
    sigset_t all;
    sigset_t old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(ret_thread, NULL, function, argument);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0) {
        /* Fails only for a name that is too long. */
        (void)pthread_setname_np(*ret_thread, name);
    }
    return -rc;
}

unsigned thread_count_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return (unsigned)CPU_COUNT(&set);
    }
    return (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
}
