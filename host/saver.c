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

#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "host/guest-state.h"
#include "host/migration-settings.h"
#include "host/migration.h"
#include "host/plugin-client.h"
#include "host/qmp.h"
#include "host/save-lock.h"
#include "host/save-mark.h"
#include "host/saved-machine.h"
#include "host/snapshot-output.h"
#include "util/error.h"

/* How often to look whether a state that passes has passed. */
#define STATE_POLL_MS 10

typedef struct Save {
    Machine *machine;
    Rpc *qmp; /* machine's */
    const SaveOptions *options;
    int lock_fd; /* -1: not locked */
    SnapshotOutput *output;
    SavedMachine *saved;
    SaveMark *left; /* by a save that was killed; NULL: none */
    /* … after which nobody has touched the migration's settings: what the
     * guest is at now, that save has left. */
    bool cut_short;
    const GuestState *state; /* at the last look */
    bool was_running;
    MigrationSettings *settings;
    SaveMark *mark;        /* ours */
    bool is_changed;       /* settings are to be restored */
    bool has_migrated;     /* QEMU has taken our "migrate" */
    bool is_interrupted;   /* once; the next time we wait no longer */
    int64_t stopped_at_us; /* 0: not stopped by us */
    int64_t stopped_us;
    int64_t window_us;
    int64_t published_at_us;
    Profiling *profiling; /* NULL: not asked for */
} Save;

static void say(const Save *save, const char *text)
{
    progress_end(save->options->progress);
    save->options->say(text);
}

/* ---- signals ---- */

static bool is_interruption(const GError *error)
{
    return g_error_matches(error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED);
}

static bool is_refusal(const GError *error)
{
    return g_error_matches(error, UTIL_ERROR, UTIL_ERROR_REFUSED);
}

static void await_second_interrupt(Save *save)
{
    struct signalfd_siginfo first;

    say(save, "interrupted: waiting for QEMU to restore the guest's state; a "
              "second signal does not wait");
    (void)!read(save->options->interrupt_fd, &first, sizeof first);
    save->is_interrupted = true;
}

/* Do step, which may be done twice and is owed to the guest: an interruption
 * does not end it unless it is the second one, as where QEMU does not answer
 * any more. */
static bool patiently(Save *save, bool (*step)(Save *, GError **),
                      GError **error)
{
    GError *local = NULL;
    bool ok = step(save, &local);

    if (!ok && is_interruption(local) && !save->is_interrupted) {
        g_clear_error(&local);
        await_second_interrupt(save);
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

/* ---- before ---- */

static void say_of_machine(void *opaque, const char *text)
{
    say(opaque, text);
}

/* How QEMU answers query-vm-generation-id where it could have the device. */
#define NO_VMGENID "device not found"

/* Without it, whoever is loaded from this twice cannot tell it. */
static bool look_for_vmgenid(Save *save, GError **error)
{
    GError *local = NULL;

    if (rpc_execute(save->qmp, "query-vm-generation-id", NULL, NULL, &local)) {
        return true;
    }
    if (!g_error_matches(local, UTIL_ERROR, UTIL_ERROR_REFUSED)) {
        g_propagate_error(error, local);
        return false;
    }
    if (strstr(local->message, NO_VMGENID)) {
        say(save, "note: the machine has no -device vmgenid,guid=auto: a "
                  "guest that is loaded more than once is not told that it is "
                  "a copy, and goes on with the random numbers of the others");
    }
    g_error_free(local);
    return true;
}

static bool look_at_machine(Save *save, GError **error)
{
    save->saved = saved_machine_new(save->qmp, save->options->disks,
                                    say_of_machine, save, error);
    return save->saved != NULL && look_for_vmgenid(save, error);
}

static void show_others_progress(uint64_t done_bytes, uint64_t total_bytes,
                                 void *opaque)
{
    progress_bytes(opaque, "waiting for a migration", done_bytes, total_bytes);
}

static bool look_at_state(Save *save, GError **error)
{
    g_autofree char *name = NULL;

    if (!qmp_run_state(save->qmp, &name, error)) {
        return false;
    }
    save->state = guest_state_find(name);
    return true;
}

/* Wait until nobody migrates this guest, and it is in a state that stays. */
static bool wait_for_others(Save *save, GError **error)
{
    MigrationState state;
    bool ok =
        migration_wait(save->machine, show_others_progress,
                       (void *)save->options->progress, &state, NULL, error);

    progress_end(save->options->progress);
    while (ok && (ok = look_at_state(save, error)) &&
           save->state->save == SAVE_WAIT) {
        ok = machine_pump(save->machine, STATE_POLL_MS, error);
    }
    return ok;
}

/* What a save that was killed has left; it stays until our own mark is there,
 * should this save come to nothing. */
static bool look_for_left(Save *save, GError **error)
{
    g_autoptr(MigrationSettings) now = NULL;

    if (!save_mark_find(save->qmp, &save->left, error)) {
        return false;
    }
    if (!save->left) {
        return true;
    }
    now = migration_settings_new(save->qmp, MIGRATION_TO_FILE, error);
    if (!now) {
        return false;
    }
    save->cut_short =
        save->left->was_running && migration_settings_are_set(now);
    return true;
}

static void revive(Save *save)
{
    if (!save->was_running) {
        say(save, "an earlier save was not finished and left the guest "
                  "stopped; it will run after this one");
    }
    save->was_running = true;
}

/* A guest that is stopped because it was saved or has migrated away.  Only
 * where a save of ours was cut short do we know that it may run here. */
static bool look_at_migrated_guest(Save *save, GError **error)
{
    if (!save->cut_short) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "this guest has not run since it was last saved or "
                    "migrated, and QEMU cannot save it again before that; "
                    "resume it first (QMP cont)");
        return false;
    }
    revive(save);
    return rpc_execute(save->qmp, "cont", NULL, NULL, error);
}

static void look_at_standing_guest(Save *save)
{
    /* Cut short after its "stop", before QEMU had migrated. */
    if (save->cut_short && strcmp(save->state->name, "paused") == 0) {
        revive(save);
        return;
    }
    save->was_running = false;
}

/* Decide what the state of the guest means for this save. */
static bool look_at_guest(Save *save, GError **error)
{
    if (!look_at_state(save, error)) {
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

/* What the plugin is at, if it is there, comes to its end first: a guest that
 * is still loading would be saved one demand fault at a time. */
static bool prepare_plugin(Save *save, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(Rpc) control = plugin_client_connect_peer(save->qmp, &local);

    if (!control && !save->options->profile) {
        return true;
    }
    if (!control) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&local),
            "--profile needs preheat's plugin in this QEMU (start it with "
            "preheat run, or with -plugin libpreheat-plugin.so): ");
        return false;
    }
    rpc_set_interrupt_fd(control, save->options->interrupt_fd);
    if (!profiling_make_quiet(control, error)) {
        return false;
    }
    if (save->options->profile) {
        if (!save->was_running) {
            say(save, "warning: the guest is stopped: there is nothing to "
                      "record until it runs (QMP cont)");
        }
        save->profiling =
            profiling_new(save->qmp, g_steal_pointer(&control),
                          save->options->profile, save->options->output, error);
        return save->profiling != NULL;
    }
    return true;
}

/* The guest may have gone into another state while the plugin loaded. */
static bool prepare(Save *save, GError **error)
{
    return save_lock_take(save->machine, save->options->progress,
                          &save->lock_fd, error) &&
           wait_for_others(save, error) && look_at_machine(save, error) &&
           (save->output = snapshot_output_new(save->options->output, error)) &&
           look_for_left(save, error) && look_at_guest(save, error) &&
           prepare_plugin(save, error) && look_at_guest(save, error);
}

/* ---- the save itself ---- */

static bool give_file(Save *save, GError **error)
{
    save->mark = save_mark_put(save->qmp, snapshot_output_qemu_fd(save->output),
                               save->was_running, save->settings, error);
    return save->mark != NULL;
}

static bool take_over_left(Save *save, GError **error)
{
    return !save->left ||
           migration_settings_restore(save->left->settings, save->qmp, error);
}

static void forget_left(Save *save)
{
    if (save->left) {
        (void)save_mark_remove(save->left, save->qmp, NULL);
    }
}

/* Have QEMU write the device state alone into the file, which makes it begin
 * like one of a snapshot.  False where QEMU does not, or that tells nothing. */
static bool preview_run_state(const Save *save, RunState *ret_state)
{
    g_autofree char *path = save_mark_path(save->mark);
    bool ok = rpc_execute(save->qmp, "xen-save-devices-state",
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

static bool set_up_migration(Save *save, GError **error)
{
    if (!take_over_left(save, error)) {
        return false;
    }
    save->settings =
        migration_settings_new(save->qmp, MIGRATION_TO_FILE, error);
    if (!save->settings || !give_file(save, error)) {
        return false;
    }
    forget_left(save);
    if (!check_awake(save, error)) {
        return false;
    }
    if (!save->was_running) {
        say(save, save->state->text);
    }
    /* Whatever becomes of it: to set back what is so already does no harm. */
    save->is_changed = true;
    return migration_settings_apply(save->settings, save->qmp, error);
}

static bool stop_guest(Save *save, GError **error)
{
    if (!save->was_running) {
        return true;
    }
    save->stopped_at_us = g_get_monotonic_time();
    if (!rpc_execute(save->qmp, "stop", NULL, NULL, error)) {
        g_prefix_error(error, "%s",
                       is_interruption(*error)
                           ? "QEMU has not answered \"stop\" yet (is a vCPU "
                             "waiting for a disk, or for memory?): "
                           : "");
        return false;
    }
    if (machine_sleeps(save->machine)) {
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
    g_autofree char *uri = qmp_fd_uri(save->mark->fdset_id, 0);
    bool ok;

    ok = migration_begin_outgoing(save->machine, uri, error);
    save->has_migrated = ok || !is_refusal(*error);
    if (!ok) {
        return false;
    }
    ok = migration_complete(save->machine, show_progress,
                            (void *)save->options->progress, error);
    progress_end(save->options->progress);
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

/* Before a profiling window opens: QEMU switches background-snapshot on only
 * where nobody else watches guest RAM. */
static bool restore_settings(Save *save, GError **error)
{
    if (!migration_wait_finalized(save->machine, error)) {
        return false;
    }
    if (save->is_changed &&
        !migration_settings_restore(save->settings, save->qmp, error)) {
        g_prefix_error(error, "cannot restore QEMU's migration settings: ");
        return false;
    }
    save->is_changed = false;
    return true;
}

/* Once the settings are back, nothing is left to be done for us. */
static void remove_mark(Save *save)
{
    if (save->mark && !save->is_changed) {
        (void)save_mark_remove(save->mark, save->qmp, NULL);
    }
}

static bool continue_guest(Save *save, GError **error)
{
    if (save->stopped_at_us == 0) {
        return true;
    }
    if (!rpc_execute(save->qmp, "cont", NULL, NULL, error)) {
        g_prefix_error(error, "%s",
                       rpc_is_closed(save->qmp) ? ""
                                                : "the guest stays stopped: ");
        return false;
    }
    save->stopped_us = g_get_monotonic_time() - save->stopped_at_us;
    return true;
}

/*
 * Let the guest run again, also after a failure, which is in *error then: a
 * guest that stays stopped is reported instead.  Returns whether all is well.
 *
 * "cont" is the last that this QEMU hears from us: it may end as soon as the
 * guest runs, and up to 10.0 at the least it crashes, with its orders and
 * statistics unwritten, when a command comes while its monitors are cleaned
 * up.
 */
static bool run_on(Save *save, GError **error)
{
    GError *local = NULL;

    remove_mark(save);
    if (!patiently(save, continue_guest, &local)) {
        g_clear_error(error);
        g_propagate_error(error, local);
    }
    return *error == NULL;
}

/* QEMU has not begun our migration.  It may have begun somebody else's, for
 * which our "stop" was not meant: the guest comes first.  But one that has
 * migrated away meanwhile must not run here any more. */
static bool undo_before_migration(Save *save, GError **error)
{
    g_autofree char *state = NULL;

    if (save->stopped_at_us != 0) {
        if (!qmp_run_state(save->qmp, &state, error) ||
            (strcmp(state, "paused") == 0 && !continue_guest(save, error))) {
            return false;
        }
    }
    if (save->is_changed &&
        (!wait_for_others(save, error) || !restore_settings(save, error))) {
        return false;
    }
    remove_mark(save);
    return true;
}

static bool undo(Save *save, GError **error)
{
    if (!save->has_migrated) {
        return patiently(save, undo_before_migration, error);
    }
    patiently(save, restore_settings, error);
    return run_on(save, error);
}

/* Without a snapshot the overlays are nobody's.  The guest runs already. */
static void thaw_after(Save *save, GError **error)
{
    g_autoptr(GError) second = NULL;

    if (!saved_machine_thaw(save->saved, &second) &&
        !rpc_is_closed(save->qmp)) {
        g_prefix_error(error, "%s; before that, ", second->message);
    }
}

/* After a failure: why the guest stays stopped, if it does, is worth as much
 * as why the save failed. */
static void restore_after(Save *save, GError **error)
{
    g_autoptr(GError) second = NULL;

    if (is_interruption(*error)) {
        await_second_interrupt(save);
        if (save->has_migrated) {
            migration_cancel(save->machine, NULL);
        }
    }
    if (!undo(save, &second) && !rpc_is_closed(save->qmp)) {
        g_prefix_error(error, "%s; before that, ", second->message);
    }
    thaw_after(save, error);
}

static bool open_window(Save *save, GError **error)
{
    int fd = snapshot_output_open(save->output, error);
    bool ok = fd >= 0 &&
              profiling_start(save->profiling, fd,
                              snapshot_output_name(save->output), NULL, error);

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* The guest is still stopped.  A profile that cannot be made is reported at the
 * end: the save is worth more. */
static void start_profiling(Save *save, GError **ret_error)
{
    int64_t begin_us = g_get_monotonic_time();

    if (!save->profiling) {
        return;
    }
    if (open_window(save, ret_error)) {
        profiling_act_loaded(save->profiling);
        save->window_us = g_get_monotonic_time() - begin_us;
        return;
    }
    /* Of one that was interrupted nobody knows whether it will be open. */
    if (is_interruption(*ret_error)) {
        profiling_discard(save->profiling);
    }
    g_clear_pointer(&save->profiling, profiling_free);
}

static void say_recording(const Save *save)
{
    const ProfileTime *time = save->options->profile;
    g_autofree char *text = g_strdup_printf(
        "recording which pages the guest touches, %s%.0f s: use the guest as "
        "it will be used after a load.  Ctrl-C, or preheat profile stop, ends "
        "this earlier",
        time->settle ? "until that dies down, at most " : "for ",
        (double)time->max_ms / 1000);

    say(save, text);
}

static bool await_profile(Save *save, json_t **ret_profile, GError **error)
{
    if (!save->is_interrupted) {
        say_recording(save);
    }
    if (!profiling_finish(save->profiling, save->is_interrupted,
                          save->options->progress, ret_profile, error)) {
        return false;
    }
    if (!*ret_profile) {
        say(save, "QEMU has ended; the order has the first touches until "
                  "then");
    }
    return true;
}

static bool finish_profiling(Save *save, const GError *start_error,
                             json_t **ret_profile, GError **error)
{
    bool ok = start_error == NULL;

    if (!ok) {
        g_propagate_error(error, g_error_copy(start_error));
    } else if (save->profiling) {
        ok = await_profile(save, ret_profile, error);
    }
    if (!ok) {
        g_prefix_error(
            error,
            "the snapshot is complete and in place, but it has no order: ");
    }
    return ok;
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

    return save->profiling ? g_strconcat(name, ".order", NULL) : NULL;
}

static bool publish(Save *save, uint64_t *ret_stored_bytes, GError **error)
{
    g_autoptr(RamImage) image = open_image(save, error);
    g_autofree char *order = order_name(save);

    if (!image ||
        !snapshot_output_publish(save->output, ret_stored_bytes, error)) {
        if (save->profiling) {
            profiling_discard(save->profiling);
        }
        return false;
    }
    save->published_at_us = g_get_monotonic_time();
    saved_machine_publish(save->saved, save->options->output, image,
                          save->was_running ? "running" : save->state->name,
                          order);
    return true;
}

static void unlock(Save *save)
{
    if (save->lock_fd >= 0) {
        close(save->lock_fd);
    }
    save->lock_fd = -1;
}

/* Save, let the guest go on, make the file be the snapshot, and have the
 * profile.  Once RAM is saved the snapshot is whole, whatever becomes of this
 * QEMU. */
static bool run(Save *save, SaveResult *ret_result, GError **error)
{
    g_autoptr(GError) profile_error = NULL;
    g_autoptr(GError) restore_error = NULL;
    bool is_whole, is_restored;

    if (!save_ram(save, error)) {
        restore_after(save, error);
        return false;
    }
    patiently(save, restore_settings, &restore_error);
    is_whole = snapshot_output_finish(save->output, save->was_running, error);
    if (is_whole) {
        start_profiling(save, &profile_error);
    }
    is_restored = run_on(save, &restore_error);
    unlock(save);
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
    return finish_profiling(save, profile_error, &ret_result->profile, error);
}

static void clear(Save *save)
{
    unlock(save);
    snapshot_output_free(save->output);
    saved_machine_free(save->saved);
    save_mark_free(save->left);
    save_mark_free(save->mark);
    migration_settings_free(save->settings);
    profiling_free(save->profiling);
}

bool saver_run(Machine *machine, const SaveOptions *options,
               SaveResult *ret_result, GError **error)
{
    int64_t start_us = g_get_monotonic_time();
    Save save = {
        .machine = machine,
        .qmp = machine_qmp(machine),
        .options = options,
        .lock_fd = -1,
    };
    SaveResult result = {0};
    bool ok;

    rpc_set_interrupt_fd(save.qmp, options->interrupt_fd);
    ok = prepare(&save, error) && run(&save, &result, error);
    rpc_set_interrupt_fd(save.qmp, -1);

    if (ok) {
        result.stopped_us = save.stopped_us;
        result.window_us = save.window_us;
        result.total_us = save.published_at_us - start_us;
        *ret_result = result;
    }
    clear(&save);
    return ok;
}
