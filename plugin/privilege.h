/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a load and a profiling window need a privilege or a path for
 * (/dev/userfaultfd, files in /proc), opened before QEMU gives up its user or
 * its root (-run-with).  One state for the process.
 */
#pragma once

/* QEMU starts, and has all that it has been given: open it. */
void privilege_keep(void);

/* QEMU is up, and has given up what it was to give up.  If that is nothing,
 * what was opened can be opened again at any time, and is closed.  Before any
 * of it is used; any thread. */
void privilege_settle(void);
