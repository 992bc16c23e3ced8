/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A progress bar on standard error for what takes longer than a second;
 * nothing where standard error is no terminal.
 */
#pragma once

#include <stdint.h>

#include <glib.h>

typedef struct Progress Progress;

/* what: a word before the bar, such as "saving". */
Progress *progress_new(const char *what);

/* done of total bytes are through. */
void progress_update(Progress *progress, uint64_t done_bytes,
                     uint64_t total_bytes);

/* Say how far it is where nobody knows how far it will go. */
void progress_note(Progress *progress, const char *text);

/* Wipe the bar from the terminal.  NULL is fine. */
void progress_free(Progress *progress);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Progress, progress_free)
