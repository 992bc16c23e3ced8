/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The progress of what takes time, for whoever draws it.
 */
#pragma once

#include <stdint.h>

#include <glib.h>

typedef struct ProgressState {
    const char *what;    /* a word or two, such as "saving" */
    uint64_t done_bytes; /* of … */
    uint64_t total_bytes;
    const char *note; /* instead of bytes, where nobody knows how far it will
                         go; NULL: none */
} ProgressState;

typedef struct Progress {
    /* state: borrowed; NULL: it is over. */
    void (*show)(const ProgressState *state, void *opaque);
    void *opaque;
} Progress;

/* progress may be NULL: nobody wants to know. */
static inline void progress_show(const Progress *progress,
                                 const ProgressState *state)
{
    if (progress) {
        progress->show(state, progress->opaque);
    }
}

static inline void progress_bytes(const Progress *progress, const char *what,
                                  uint64_t done_bytes, uint64_t total_bytes)
{
    const ProgressState state = {what, done_bytes, total_bytes, NULL};

    progress_show(progress, &state);
}

static inline void progress_note(const Progress *progress, const char *what,
                                 const char *note)
{
    const ProgressState state = {what, 0, 0, note};

    progress_show(progress, &state);
}

static inline void progress_end(const Progress *progress)
{
    progress_show(progress, NULL);
}
