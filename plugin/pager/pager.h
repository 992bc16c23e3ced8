/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager: loads a snapshot's RAM while the memory is already in use.
 *
 * Knows nothing of QEMU: it works on any memory of this process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "plugin/pager/pager-attach.h"
#include "plugin/pager/pager-check.h"
#include "plugin/pager/pager-config.h"
#include "plugin/pager/ram-range.h"

/* Create the pager and start its eager threads: they warm or
 * read the order's pages ahead, up to max_staged_bytes.
 * Returns NULL with PAGER_ERROR_SYSTEM. */
Pager *pager_new(const PagerConfig *config, GError **error);

/* pager_attach(), which comes next, stands in pager-attach.h, and
 * pager_check_untouched() in pager-check.h, pager_fetch() in pager-fault.h. */

/* Wait until the goal is reached, also through failures that are mended.
 * Returns false with PAGER_ERROR_STATE when the pager ends before, and with
 * PAGER_ERROR_SNAPSHOT once the snapshot was changed. */
bool pager_wait(Pager *pager, LoadGoal goal, GError **error);

/* After callbacks.failed(): try again what has failed. */
void pager_retry(Pager *pager);

/* After that: wait, at most max_us, until each of these pages is in place or
 * has failed again.  *ret_missing: how many still cannot be loaded.  Returns
 * false with PAGER_ERROR_SNAPSHOT once the snapshot was changed. */
bool pager_await_retry(Pager *pager, uint64_t max_us, uint64_t *ret_missing,
                       GError **error);

/* The guest runs, or somebody waits for all pages before it does: the rest may
 * use the CPUs from now on. */
void pager_release_rest(Pager *pager);

/* Ask the source now whether it can still be relied upon; if not, that is told,
 * as a failure that is final. */
void pager_recheck(Pager *pager);

/* Load everything now, whatever the policy is; ends the observation. */
void pager_load_rest(Pager *pager);

/* End the observation before its time; does nothing if none is under way.
 * callbacks.observed() has been called when this returns. */
void pager_end_observation(Pager *pager);

/* LOAD_STATE_FAILED from the first failed page until none of these is missing;
 * permanently once the snapshot was changed. */
LoadState pager_state(Pager *pager);

/* Once all pages are loaded: join the threads, and free all that only loading
 * needs.  Other threads may still ask for the state, or wait. */
void pager_release(Pager *pager);

/* Stop the threads, free everything.  Unless every page is in, the memory
 * must not be used any more: what is missing would read as zeroes.
 * NULL is fine. */
void pager_free(Pager *pager);
