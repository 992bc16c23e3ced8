/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sequence: wait until nobody else saves this QEMU and no migration is
 * under way; create the file; find what a killed save has left; check the
 * guest's state; give QEMU the file's descriptor, with a mark, and set up its
 * migration; stop the guest, have QEMU migrate into the file, restore the
 * settings, open the profiling window, remove the mark, resume the guest.
 */
#include "host/saver.h"

#include <string.h>
#include <unistd.h>

#include "host/guest-state.h"
#include "host/migration.h"
#include "host/qmp.h"
#include "host/save-lock.h"
#include "host/save-profile.h"
#include "host/save-session.h"
#include "host/save-settings.h"
#include "host/saved-machine.h"
#include "host/snapshot-output.h"
#include "util/error.h"

typedef struct Save {
    SaveSession session;
    const SaveOptions *options;
    SnapshotOutput *output;
    SavedMachine *saved;
    SaveSettings settings;
    const GuestState *state; /* at the last look */
    bool was_running;
    bool has_migrated;     /* QEMU has taken our "migrate" */
    int64_t stopped_at_us; /* 0: not stopped by us */
    int64_t stopped_us;
    int64_t published_at_us;
    SaveProfile profile;
} Save;

static bool is_interruption(const GError *error)
{
    return g_error_matches(error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED);
}

static bool is_refusal(const GError *error)
{
    return g_error_matches(error, UTIL_ERROR, UTIL_ERROR_REFUSED);
}

/* ---- before ---- */

static void say_of_machine(void *opaque, const char *text)
{
    const Save *save = opaque;

    save_session_say(&save->session, text);
}

static bool look_at_machine(Save *save, GError **error)
{
    save->saved = saved_machine_new(save->session.qmp, save->options->disks,
                                    say_of_machine, save, error);
    return save->saved != NULL &&
           save_session_look_for_vmgenid(&save->session, error);
}

static void revive(Save *save)
{
    if (!save->was_running) {
        save_session_say(&save->session,
                         "an earlier save was not finished and left the guest "
                         "stopped; it will run after this one");
    }
    save->was_running = true;
}

/* A guest that is stopped because it was saved or has migrated away.  Only
 * where a save of ours was cut short do we know that it may run here. */
static bool look_at_migrated_guest(Save *save, GError **error)
{
    if (!save->settings.cut_short) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "this guest has not run since it was last saved or "
                    "migrated, and QEMU cannot save it again before that; "
                    "resume it first (QMP cont)");
        return false;
    }
    revive(save);
    return rpc_execute(save->session.qmp, "cont", NULL, NULL, error);
}

static void look_at_standing_guest(Save *save)
{
    /* Cut short after its "stop", before QEMU had migrated. */
    if (save->settings.cut_short && strcmp(save->state->name, "paused") == 0) {
        revive(save);
        return;
    }
    save->was_running = false;
}

/* Decide what the state of the guest means for this save. */
static bool look_at_guest(Save *save, GError **error)
{
    if (!save_session_look_at_state(&save->session, &save->state, error)) {
        return false;
    }
    switch (save->state->save) {
    case SAVE_STOP_AND_GO_ON:
        save->was_running = true;
        return true;
    case SAVE_AS_IT_STANDS:
        look_at_standing_guest(save);
        return true;
    case SAVE_REVIVE:
        return look_at_migrated_guest(save, error);
    case SAVE_WAIT:
    case SAVE_REFUSE:
        break;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "%s",
                save->state->text ? save->state->text
                                  : "another program is saving this guest");
    return false;
}

static bool prepare_plugin(Save *save, GError **error)
{
    return save_profile_prepare(&save->profile, &save->session,
                                save->options->output, save->was_running,
                                error);
}

/* The guest may have gone into another state while the plugin loaded. */
static bool prepare(Save *save, GError **error)
{
    return save_lock_take(save->session.machine, save->session.progress,
                          &save->session.lock_fd, error) &&
           save_session_wait_for_others(&save->session, &save->state, error) &&
           look_at_machine(save, error) &&
           (save->output = snapshot_output_new(save->options->output, error)) &&
           save_settings_look_for_left(&save->settings, error) &&
           look_at_guest(save, error) && prepare_plugin(save, error) &&
           look_at_guest(save, error);
}

/* ---- the save itself ---- */

/* Have QEMU write the device state alone into the file, which makes it begin
 * like one of a snapshot.  False where QEMU does not, or that tells nothing. */
static bool preview_run_state(const Save *save, RunState *ret_state)
{
    g_autofree char *path = save_mark_path(save->settings.mark);
    bool ok = rpc_execute(save->session.qmp, "xen-save-devices-state",
                          json_pack("{s:s, s:b}", "filename", path, "live", 0),
                          NULL, NULL);

    return snapshot_output_rewind(save->output, ret_state) && ok;
}

/* A guest that was paused while it slept (S3) is "paused" to query-status; but
 * once it is saved, "cont" aborts QEMU, which tries to have it "suspended"
 * then.  Only the device state tells. */
static bool check_awake(const Save *save, GError **error)
{
    RunState state;

    if (save->was_running || !preview_run_state(save, &state) ||
        !state.was_suspended) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "the guest was paused while it was suspended (S3), and QEMU "
                "cannot wake up a guest that it has saved: resume it and wake "
                "it up first (QMP cont, system_wakeup)");
    return false;
}

/* What a killed save has left stays marked until our own mark is there, should
 * this save come to nothing. */
static bool set_up_migration(Save *save, GError **error)
{
    if (!save_settings_take_over_left(&save->settings, error) ||
        !save_settings_mark(&save->settings,
                            snapshot_output_qemu_fd(save->output),
                            save->was_running, error)) {
        return false;
    }
    save_settings_forget_left(&save->settings);
    if (!check_awake(save, error)) {
        return false;
    }
    if (!save->was_running) {
        save_session_say(&save->session, save->state->text);
    }
    return save_settings_apply(&save->settings, error);
}

static bool stop_guest(Save *save, GError **error)
{
    if (!save->was_running) {
        return true;
    }
    save->stopped_at_us = g_get_monotonic_time();
    if (!rpc_execute(save->session.qmp, "stop", NULL, NULL, error)) {
        g_prefix_error(error, "%s",
                       is_interruption(*error)
                           ? "QEMU has not answered \"stop\" yet (is a vCPU "
                             "waiting for a disk, or for memory?): "
                           : "");
        return false;
    }
    if (machine_sleeps(save->session.machine)) {
        g_set_error_literal(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                            guest_state_find("suspended")->text);
        return false;
    }
    return true;
}

static void show_progress(uint64_t done_bytes, uint64_t total_bytes,
                          void *opaque)
{
    progress_bytes(opaque, "saving", done_bytes, total_bytes);
}

static bool migrate(Save *save, GError **error)
{
    g_autofree char *uri = qmp_fd_uri(save->settings.mark->fdset_id, 0);
    bool ok;

    ok = migration_begin_outgoing(save->session.machine, uri, error);
    save->has_migrated = ok || !is_refusal(*error);
    if (!ok) {
        return false;
    }
    ok = migration_complete(save->session.machine, show_progress,
                            (void *)save->session.progress, error);
    progress_end(save->session.progress);
    if (!ok && g_error_matches(*error, UTIL_ERROR, UTIL_ERROR_FAILED)) {
        g_prefix_error(error, "QEMU could not save: ");
    }
    return ok;
}

static bool save_ram(Save *save, GError **error)
{
    return set_up_migration(save, error) && stop_guest(save, error) &&
           saved_machine_freeze(save->saved, error) && migrate(save, error);
}

/* ---- after ---- */

static bool restore_settings(void *opaque, GError **error)
{
    Save *save = opaque;

    return migration_wait_finalized(save->session.machine, error) &&
           save_settings_restore(&save->settings, error);
}

static bool continue_guest(void *opaque, GError **error)
{
    Save *save = opaque;

    if (save->stopped_at_us == 0) {
        return true;
    }
    if (!rpc_execute(save->session.qmp, "cont", NULL, NULL, error)) {
        g_prefix_error(error, "%s",
                       rpc_is_closed(save->session.qmp)
                           ? ""
                           : "the guest stays stopped: ");
        return false;
    }
    save->stopped_us = g_get_monotonic_time() - save->stopped_at_us;
    return true;
}

/*
 * As save_session_run_on(), also after a failure.
 *
 * "cont" is the last that this QEMU hears from us: it may end as soon as the
 * guest runs, and up to 10.0 at the least it crashes, with its orders and
 * statistics unwritten, when a command comes while its monitors are cleaned
 * up.
 */
static bool run_on(Save *save, GError **error)
{
    save_settings_remove_mark(&save->settings);
    return save_session_run_on(&save->session, continue_guest, save, error);
}

/* QEMU has not begun our migration.  It may have begun somebody else's, for
 * which our "stop" was not meant: the guest comes first.  But one that has
 * migrated away meanwhile must not run here any more. */
static bool undo_before_migration(void *opaque, GError **error)
{
    Save *save = opaque;
    g_autofree char *state = NULL;

    if (save->stopped_at_us != 0) {
        if (!qmp_run_state(save->session.qmp, &state, error) ||
            (strcmp(state, "paused") == 0 && !continue_guest(save, error))) {
            return false;
        }
    }
    if (save->settings.is_changed &&
        (!save_session_wait_for_others(&save->session, &save->state, error) ||
         !restore_settings(save, error))) {
        return false;
    }
    save_settings_remove_mark(&save->settings);
    return true;
}

static bool undo(Save *save, GError **error)
{
    if (!save->has_migrated) {
        return save_session_patiently(&save->session, undo_before_migration,
                                      save, error);
    }
    save_session_patiently(&save->session, restore_settings, save, error);
    return run_on(save, error);
}

/* Without a snapshot the overlays are nobody's.  The guest runs already. */
static void thaw_after(Save *save, GError **error)
{
    g_autoptr(GError) second = NULL;

    if (!saved_machine_thaw(save->saved, &second) &&
        !rpc_is_closed(save->session.qmp)) {
        g_prefix_error(error, "%s; before that, ", second->message);
    }
}

/* After a failure: why the guest stays stopped, if it does, is worth as much
 * as why the save failed. */
static void restore_after(Save *save, GError **error)
{
    g_autoptr(GError) second = NULL;

    if (is_interruption(*error)) {
        save_session_await_second_signal(&save->session);
        if (save->has_migrated) {
            migration_cancel(save->session.machine, NULL);
        }
    }
    if (!undo(save, &second) && !rpc_is_closed(save->session.qmp)) {
        g_prefix_error(error, "%s; before that, ", second->message);
    }
    thaw_after(save, error);
}

static void start_profiling(Save *save)
{
    if (save->profile.profiling) {
        int fd = snapshot_output_open(save->output, &save->profile.error);

        save_profile_start(&save->profile, fd,
                           snapshot_output_name(save->output), NULL);
    }
}

static RamImage *open_image(Save *save, GError **error)
{
    int fd = snapshot_output_open(save->output, error);
    RamImage *image =
        fd >= 0 ? ram_image_open_fd(fd, save->options->output, 0, error) : NULL;

    if (fd >= 0) {
        close(fd);
    }
    return image;
}

/* The order's file name, beside the snapshot's; for g_free(). */
static char *order_name(const Save *save)
{
    g_autofree char *name = g_path_get_basename(save->options->output);

    return save->profile.profiling ? g_strconcat(name, ".order", NULL) : NULL;
}

static bool publish(Save *save, uint64_t *ret_stored_bytes, GError **error)
{
    g_autoptr(RamImage) image = open_image(save, error);
    g_autofree char *order = order_name(save);

    if (!image ||
        !snapshot_output_publish(save->output, ret_stored_bytes, error)) {
        save_profile_discard(&save->profile);
        return false;
    }
    save->published_at_us = g_get_monotonic_time();
    saved_machine_publish(save->saved, save->options->output, image,
                          save->was_running ? "running" : save->state->name,
                          order);
    return true;
}

/* Save, let the guest go on, make the file be the snapshot, and have the
 * profile.  Once RAM is saved the snapshot is whole, whatever becomes of this
 * QEMU. */
static bool run(Save *save, SaveResult *ret_result, GError **error)
{
    g_autoptr(GError) restore_error = NULL;
    bool is_whole, is_restored;

    if (!save_ram(save, error)) {
        restore_after(save, error);
        return false;
    }
    save_session_patiently(&save->session, restore_settings, save,
                           &restore_error);
    saved_machine_note_disks(save->saved);
    is_whole = snapshot_output_finish(save->output, save->was_running, error);
    if (is_whole) {
        start_profiling(save);
    }
    is_restored = run_on(save, &restore_error);
    save_session_unlock(&save->session);
    if (!is_whole || !publish(save, &ret_result->stored_bytes, error)) {
        thaw_after(save, error);
        return false;
    }
    if (!is_restored) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&restore_error),
            "the snapshot is complete and in place, but: ");
        return false;
    }
    return save_profile_finish(&save->profile, &save->session,
                               &ret_result->profile, error);
}

static void clear(Save *save)
{
    save_session_unlock(&save->session);
    snapshot_output_free(save->output);
    saved_machine_free(save->saved);
    save_settings_clear(&save->settings);
    save_profile_clear(&save->profile);
}

bool saver_run(Machine *machine, const SaveOptions *options,
               SaveResult *ret_result, GError **error)
{
    int64_t start_us = g_get_monotonic_time();
    Save save = {
        .session = {.lock_fd = -1,
                    .machine = machine,
                    .qmp = machine_qmp(machine),
                    .interrupt_fd = options->interrupt_fd,
                    .say = options->say,
                    .progress = options->progress},
        .options = options,
        .settings = {.qmp = machine_qmp(machine)},
        .profile = {.time = options->profile},
    };
    SaveResult result = {0};
    bool ok;

    rpc_set_interrupt_fd(save.session.qmp, options->interrupt_fd);
    ok = prepare(&save, error) && run(&save, &result, error);
    rpc_set_interrupt_fd(save.session.qmp, -1);

    if (ok) {
        result.stopped_us = save.stopped_us;
        result.window_us = save.profile.window_us;
        result.total_us = save.published_at_us - start_us;
        *ret_result = result;
    }
    clear(&save);
    return ok;
}
