/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/thread.h"

#include <signal.h>

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
