/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A child process in the foreground: signals are passed on to it, and it does
 * not outlive us.
 *
 * It may go on in another process (a daemon, or what a wrapper has started):
 * such a descendant is followed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <glib.h>

typedef struct Launcher Launcher;

/* Start argv[0] (looked for in PATH) with our standard streams.  Of our file
 * descriptors it gets keep_fds beside those that are not close-on-exec.  From
 * now on the signals INT, TERM, HUP, QUIT, USR1 and USR2 go to the child; they
 * stay blocked here when it has ended.
 *
 * becomes_daemon: the child ends and goes on in another process, which becomes
 * ours then.  So does whatever else below the child loses its parent; nobody
 * waits for these processes, which is all right for a short time.
 *
 * To be called before the process has a second thread. */
Launcher *launcher_start(char **argv, const int *keep_fds, size_t n_keep_fds,
                         bool becomes_daemon, GError **error);

/* The child says that it goes on as process pid: pass signals on to that one,
 * too.  False where there is no such process, or none that descends from the
 * child: it may live in another PID namespace, where pid means nobody that we
 * know. */
bool launcher_follow(Launcher *launcher, pid_t pid);

/* Readable once a signal has come that asks to end, until it is taken. */
int launcher_interrupt_fd(const Launcher *launcher);

/* Take the last such signal; 0: none has come. */
int launcher_take_interrupt(Launcher *launcher);

/* Send a signal to the child, unless it has been waited for, and to whom it
 * goes on as. */
void launcher_signal(Launcher *launcher, int signal);

/* Wait until the child has ended; the status a shell would give.  Not for whom
 * it goes on as. */
int launcher_wait(Launcher *launcher);

/* The child has been waited for.  NULL is fine. */
void launcher_free(Launcher *launcher);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Launcher, launcher_free)
