/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/save-session.h"

#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "host/migration.h"
#include "host/qmp.h"
#include "util/error.h"

/* How often to look whether a state that passes has passed. */
#define STATE_POLL_MS 10

/* How QEMU answers query-vm-generation-id where it could have the device. */
#define NO_VMGENID "device not found"

void save_session_say(const SaveSession *session, const char *text)
{
    progress_end(session->progress);
    session->say(text);
}

void save_session_unlock(SaveSession *session)
{
    if (session->lock_fd >= 0) {
        close(session->lock_fd);
    }
    session->lock_fd = -1;
}

/* ---- signals ---- */

static bool is_interruption(const GError *error)
{
    return g_error_matches(error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED);
}

void save_session_await_second_signal(SaveSession *session)
{
    struct signalfd_siginfo first;

    save_session_say(session,
                     "interrupted: waiting for QEMU to restore the guest's "
                     "state; a second signal does not wait");
    (void)!read(session->interrupt_fd, &first, sizeof first);
    session->is_interrupted = true;
}

bool save_session_patiently(SaveSession *session, SaveStep *step, void *save,
                            GError **error)
{
    GError *local = NULL;
    bool ok = step(save, &local);

    if (!ok && is_interruption(local) && !session->is_interrupted) {
        g_clear_error(&local);
        save_session_await_second_signal(session);
        ok = step(save, &local);
    }
    if (is_interruption(local)) {
        g_clear_error(&local);
        g_set_error(&local, UTIL_ERROR, UTIL_ERROR_INTERRUPTED,
                    "QEMU does not answer: if the guest stays stopped, resume "
                    "it with QMP cont; the next preheat savevm restores QEMU's "
                    "migration settings");
    }
    if (local) {
        g_propagate_error(error, local);
    }
    return ok;
}

bool save_session_run_on(SaveSession *session, SaveStep *continue_guest,
                         void *save, GError **error)
{
    GError *local = NULL;

    if (!save_session_patiently(session, continue_guest, save, &local)) {
        g_clear_error(error);
        g_propagate_error(error, local);
    }
    return *error == NULL;
}

/* ---- the guest ---- */

bool save_session_look_at_state(const SaveSession *session,
                                const GuestState **ret_state, GError **error)
{
    g_autofree char *name = NULL;

    if (!qmp_run_state(session->qmp, &name, error)) {
        return false;
    }
    *ret_state = guest_state_find(name);
    return true;
}

static void show_others_progress(uint64_t done_bytes, uint64_t total_bytes,
                                 void *opaque)
{
    progress_bytes(opaque, "waiting for a migration", done_bytes, total_bytes);
}

bool save_session_wait_for_others(SaveSession *session,
                                  const GuestState **ret_state, GError **error)
{
    MigrationState migration;
    const GuestState *state = NULL;
    bool ok =
        migration_wait(session->machine, show_others_progress,
                       (void *)session->progress, &migration, NULL, error);

    progress_end(session->progress);
    while (ok && (ok = save_session_look_at_state(session, &state, error)) &&
           state->save == SAVE_WAIT) {
        ok = machine_pump(session->machine, STATE_POLL_MS, error);
    }
    if (ok) {
        *ret_state = state;
    }
    return ok;
}

bool save_session_look_for_vmgenid(const SaveSession *session, GError **error)
{
    GError *local = NULL;

    if (rpc_execute(session->qmp, "query-vm-generation-id", NULL, NULL,
                    &local)) {
        return true;
    }
    if (!g_error_matches(local, UTIL_ERROR, UTIL_ERROR_REFUSED)) {
        g_propagate_error(error, local);
        return false;
    }
    if (strstr(local->message, NO_VMGENID)) {
        save_session_say(
            session,
            "note: the machine has no -device vmgenid,guid=auto: a guest that "
            "is loaded more than once is not told that it is a copy, and goes "
            "on with the random numbers of the others");
    }
    g_error_free(local);
    return true;
}
