/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/save-profile.h"

#include <unistd.h>

#include "host/plugin-client.h"
#include "util/error.h"

void save_profile_clear(SaveProfile *profile)
{
    g_clear_pointer(&profile->profiling, profiling_free);
    g_clear_error(&profile->error);
}

bool save_profile_prepare(SaveProfile *profile, SaveSession *session,
                          const char *snapshot_path, bool guest_runs,
                          GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(Rpc) control = plugin_client_connect_peer(session->qmp, &local);

    if (!control && !profile->time) {
        return true;
    }
    if (!control) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&local),
            "--profile needs preheat's plugin in this QEMU (start it with "
            "preheat run, or with -plugin libpreheat-plugin.so): ");
        return false;
    }
    rpc_set_interrupt_fd(control, session->interrupt_fd);
    if (!profiling_make_quiet(control, error)) {
        return false;
    }
    if (!profile->time) {
        return true;
    }
    if (!guest_runs) {
        save_session_say(session,
                         "warning: the guest is stopped: there is nothing to "
                         "record until it runs (QMP cont)");
    }
    profile->profiling = profiling_new(session->qmp, g_steal_pointer(&control),
                                       profile->time, snapshot_path, error);
    return profile->profiling != NULL;
}

void save_profile_start(SaveProfile *profile, int fd, const char *name,
                        const char *tag)
{
    int64_t begin_us = g_get_monotonic_time();
    bool ok = fd >= 0 && profiling_start(profile->profiling, fd, name, tag,
                                         &profile->error);

    if (fd >= 0) {
        close(fd);
    }
    if (ok) {
        profiling_act_loaded(profile->profiling);
        profile->window_us = g_get_monotonic_time() - begin_us;
        return;
    }
    /* Of one that was interrupted nobody knows whether it will be open. */
    if (g_error_matches(profile->error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED)) {
        profiling_discard(profile->profiling);
    }
    g_clear_pointer(&profile->profiling, profiling_free);
}

void save_profile_discard(SaveProfile *profile)
{
    if (profile->profiling) {
        profiling_discard(profile->profiling);
    }
}

static void say_recording(const SaveProfile *profile,
                          const SaveSession *session)
{
    const ProfileTime *time = profile->time;
    g_autofree char *text = g_strdup_printf(
        "recording which pages the guest touches, %s%.0f s: use the guest as "
        "it will be used after a load.  Ctrl-C, or preheat profile stop, ends "
        "this earlier",
        time->settle ? "until that dies down, at most " : "for ",
        (double)time->max_ms / 1000);

    save_session_say(session, text);
}

static bool await_end(SaveProfile *profile, SaveSession *session,
                      json_t **ret_profile, GError **error)
{
    if (!session->is_interrupted) {
        say_recording(profile, session);
    }
    if (!profiling_finish(profile->profiling, session->is_interrupted,
                          session->progress, ret_profile, error)) {
        return false;
    }
    if (!*ret_profile) {
        save_session_say(session, "QEMU has ended; the order has the first "
                                  "touches until then");
    }
    return true;
}

bool save_profile_finish(SaveProfile *profile, SaveSession *session,
                         json_t **ret_profile, GError **error)
{
    bool ok = profile->error == NULL;

    if (!ok) {
        g_propagate_error(error, g_steal_pointer(&profile->error));
    } else if (profile->profiling) {
        ok = await_end(profile, session, ret_profile, error);
    }
    if (!ok) {
        g_prefix_error(
            error,
            "the snapshot is complete and in place, but it has no order: ");
    }
    return ok;
}
