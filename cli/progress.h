/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A progress bar on standard error for what takes longer than a second;
 * nothing where standard error is no terminal.
 */
#pragma once

#include "host/progress.h"

typedef struct ProgressBar ProgressBar;

ProgressBar *progress_bar_new(void);

/* Wipe the bar from the terminal.  NULL is fine. */
void progress_bar_free(ProgressBar *bar);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProgressBar, progress_bar_free)

/* What draws it; lives as long as bar. */
const Progress *progress_bar_progress(const ProgressBar *bar);
