/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What every save has to do with its QEMU and its user, wherever the snapshot
 * goes: wait for others, say what comes up, and give up without leaving the
 * guest in a state that it was not in.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/guest-state.h"
#include "host/machine.h"
#include "host/progress.h"

typedef struct SaveSession {
    Machine *machine; /* borrowed */
    Rpc *qmp;         /* machine's */
    int lock_fd;      /* of save_lock_take(); -1: not locked */
    /* Readable: give up, cleanly; -1: none. */
    int interrupt_fd;
    void (*say)(const char *text);
    const Progress *progress; /* NULL: silent */
    bool is_interrupted;      /* once; the next time we wait no longer */
} SaveSession;

/* A step of a save.  It can be done once more after an interruption. */
typedef bool SaveStep(void *save, GError **error);

void save_session_say(const SaveSession *session, const char *text);

/* Another save of this guest may begin. */
void save_session_unlock(SaveSession *session);

/* Take the signal that has come, and say that the next one does not wait. */
void save_session_await_second_signal(SaveSession *session);

/* Do step(save), which is owed to the guest: only the second interruption ends
 * it, as where QEMU does not answer any more. */
bool save_session_patiently(SaveSession *session, SaveStep *step, void *save,
                            GError **error);

/* Let the guest run again, by continue_guest(save), whatever has failed before:
 * that is in *error, and a guest that stays stopped is reported instead.
 * error is not NULL.  Returns whether all is well. */
bool save_session_run_on(SaveSession *session, SaveStep *continue_guest,
                         void *save, GError **error);

/* In what state the guest is. */
bool save_session_look_at_state(const SaveSession *session,
                                const GuestState **ret_state, GError **error);

/* The same, once nobody migrates this guest and it is in a state that stays. */
bool save_session_wait_for_others(SaveSession *session,
                                  const GuestState **ret_state, GError **error);

/* Say so where the machine could have a vmgenid device, and has none: whoever
 * is loaded from the snapshot twice cannot tell it. */
bool save_session_look_for_vmgenid(const SaveSession *session, GError **error);
