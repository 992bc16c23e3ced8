/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Handles the plugin's events about pages that cannot be read
 * (formats/control-protocol.h, "When something fails").
 *
 * The guest runs on until it needs such a page.  Then it is stopped, so that
 * its other vCPUs do not run on without the one that waits, and goes on
 * when the page is there.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/machine.h"
#include "host/progress.h"

typedef struct ReadErrors ReadErrors;

/* How a load prints messages for the user. */
typedef void SayFunc(const char *text);

/* For a QEMU that we start; machine is borrowed.  Messages must not mix with
 * the drawing of progress (may be NULL). */
ReadErrors *read_errors_new(Machine *machine, SayFunc *say,
                            const Progress *progress);

/* NULL is fine. */
void read_errors_free(ReadErrors *errors);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ReadErrors, read_errors_free)

/* An event of the plugin; data may be NULL.  Nothing is sent. */
void read_errors_take_event(ReadErrors *errors, const char *name,
                            const json_t *data);

/* QEMU's process is known from now on: print earlier messages now. */
void read_errors_announce(ReadErrors *errors);

/* The guest begins only when certain pages are in; until says so, as a clause
 * for messages.  NULL: that is over. */
void read_errors_set_waiting(ReadErrors *errors, const char *until);

/* The load has been handed over: the guest runs, or stays paused. */
void read_errors_set_handed_over(ReadErrors *errors);

/* Stop the guest, or let it go on, as it is time to.  Returns after how many
 * milliseconds to be called again, -1: when something has come.  Not while
 * another command waits for the plugin's answer. */
int read_errors_attend(ReadErrors *errors);

/* Whether the snapshot was written to while it was loaded: UTIL_ERROR_FAILED
 * says so. */
bool read_errors_check_unchanged(const ReadErrors *errors, GError **error);

/* Whether we have stopped the guest, and have not let it go on yet. */
bool read_errors_hold_guest(const ReadErrors *errors);

/* We leave a QEMU that goes on: let a guest that we have stopped run, and
 * see that QEMU has heard it.  One whose snapshot has changed stays stopped. */
void read_errors_let_go(ReadErrors *errors);

/* Every page is in: nothing waits any more. */
void read_errors_set_loaded(ReadErrors *errors);

/* Whether QEMU, asked to end since_us ago, cannot: a thread of it waits for a
 * page that cannot be read, or not for a long time. */
bool read_errors_block_end(const ReadErrors *errors, int64_t since_us);
