/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/interrupts.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* A signal that is blocked comes even where it is ignored. */
static bool is_ignored(int signal)
{
    struct sigaction action;

    return sigaction(signal, NULL, &action) == 0 &&
           action.sa_handler == SIG_IGN;
}

int interrupts_open(void)
{
    static const int all[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t signals;

    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!is_ignored(all[i])) {
            sigaddset(&signals, all[i]);
        }
    }
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

int interrupts_take(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)
               ? (int)info.ssi_signo
               : 0;
}

void interrupts_close(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}
