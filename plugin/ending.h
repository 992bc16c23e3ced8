/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What happens to this QEMU when nobody watches over its load, and how to end
 * it whatever it is blocked on.
 *
 * The launcher watches over QEMU until it reports that the guest runs.  If it
 * ends before that, QEMU ends: a half-loaded guest is of no use.  If it ends
 * later, the load goes on alone, and the plugin itself reports what goes wrong,
 * since nobody else does.
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
    /* QEMU is to end when its launcher does, by SIGTERM.  If it cannot heed
     * that, it is not worth keeping. */
    bool dies_with_launcher;
} EndingHost;

/* Never freed: it lives as long as the process. */
Ending *ending_new(const EndingHost *host);

/* Somebody watches over the load to come after all. */
void ending_adopted(Ending *ending);

/* The guest runs, or could: the launcher has done its part. */
void ending_handed_over(Ending *ending);

/* What is wrong with a load. */
typedef struct EndingTrouble {
    const char *text;   /* which page, and why, without a full stop */
    bool is_waited_for; /* a thread of QEMU is blocked on that page */
    bool can_retry;     /* it can be loaded once the cause is fixed */
} EndingTrouble;

/* A page cannot be loaded, or what was loaded is not to be relied on.  Does not
 * block. */
void ending_page_missing(Ending *ending, const EndingTrouble *trouble);

/* A page takes long to load.  Does not block. */
void ending_page_slow(Ending *ending, const char *text);

/* The launcher has ended.  is_failed: what ending_page_missing() reported is
 * still true; is_waited_for: a thread waits for such a page. */
void ending_launcher_gone(Ending *ending, bool is_failed, bool is_waited_for);

/* End this process now; text says why. */
_Noreturn void ending_now(Ending *ending, const char *text);
