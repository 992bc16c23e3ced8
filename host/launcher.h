/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A child process in the foreground: signals are passed on to it, and it does
 * not outlive us.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

typedef struct Launcher Launcher;

/* Start argv[0] (looked for in PATH) with our standard streams.  Of our file
 * descriptors it gets keep_fds beside those that are not close-on-exec.  From
 * now on the signals INT, TERM, HUP, QUIT, USR1 and USR2 go to the child; they
 * stay blocked here when it has ended.  To be called before the process has a
 * second thread. */
Launcher *launcher_start(char **argv, const int *keep_fds, size_t n_keep_fds,
                         GError **error);

/* From now on (or no more) what asks the child to end kills it: for a child
 * that cannot end by itself.  Any thread. */
void launcher_set_hopeless(Launcher *launcher, bool hopeless);

/* Send the child a signal, unless it has been waited for. */
void launcher_signal(Launcher *launcher, int signal);

/* Wait until the child has ended; the status a shell would give. */
int launcher_wait(Launcher *launcher);

/* The child has been waited for.  NULL is fine. */
void launcher_free(Launcher *launcher);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Launcher, launcher_free)
