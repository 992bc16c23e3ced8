/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The signals that ask a command to end (INT, TERM, HUP), as something to
 * poll().
 */
#pragma once

/* From now on these signals only make the descriptor readable that is
 * returned; -1 if there is none: they are blocked then.  One that was ignored
 * before (nohup) stays so. */
int interrupts_open(void);

/* The number of the signal that has come, taken from fd; 0: none has. */
int interrupts_take(int fd);

/* -1 is fine.  The signals stay blocked. */
void interrupts_close(int fd);
