/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What becomes of this QEMU when nobody watches over its load, and its end in
 * spite of whatever it is blocked on.
 *
 * A launcher has its hand on QEMU until it tells that the guest runs.  If it
 * goes before that, QEMU ends: a guest that is half loaded is of no use.  If it
 * goes later, the load goes on alone, and what then goes wrong is said aloud,
 * since nobody else will say it.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct Ending Ending;

typedef struct EndingHost {
    /* Say it where somebody may see it: on QEMU's standard error and in the
     * system's log.  May block: called in threads of their own. */
    void (*say)(const char *text);
    /* QEMU ends: write down what is to be written.  May block. */
    void (*write)(void *opaque);
    void *opaque;
    /* The kernel sends QEMU a signal when its launcher ends.  If QEMU cannot
     * heed that, it is not worth keeping. */
    bool dies_with_launcher;
} EndingHost;

/* Never freed: it lives as long as the process. */
Ending *ending_new(const EndingHost *host);

/* The guest runs, or could: the launcher has done its part. */
void ending_handed_over(Ending *ending);

/* A page cannot be had that somebody in QEMU waits for; text tells which one
 * and why, without a full stop.  can_retry: it might be, once the cause is
 * mended.  Does not block. */
void ending_page_missing(Ending *ending, const char *text, bool can_retry);

/* What text tells is worth a word, if nobody watches.  Does not block. */
void ending_note(Ending *ending, const char *text);

/* The launcher has gone.  is_stuck: what ending_page_missing() was told last
 * is still so. */
void ending_launcher_gone(Ending *ending, bool is_stuck);

/* End this process now; text says why. */
_Noreturn void ending_now(Ending *ending, const char *text);
