/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * snapshot-save stops the guest itself, records that it ran, and resumes it.
 * For a profile the guest must be stopped when the window opens.  So we send
 * "stop" as soon as QEMU has stopped the guest itself; QEMU executes it when
 * the job is complete, before the guest has run for long.
 */
#include "host/tag-saver.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "formats/qcow2-state.h"
#include "formats/qcow2.h"
#include "formats/ram-image.h"
#include "host/disks.h"
#include "host/guest-state.h"
#include "host/job.h"
#include "host/migration-settings.h"
#include "host/migration.h"
#include "host/plugin-client.h"
#include "host/process-info.h"
#include "host/qmp.h"
#include "host/save-lock.h"
#include "host/save-mark.h"
#include "host/unix-socket.h"
#include "util/error.h"
#include "util/file.h"

#define MIN_MAJOR 11
#define MIN_MINOR 1

/* How often to look whether a state that passes has passed. */
#define STATE_POLL_MS 10

#define JOB_ID "preheat-savevm"

typedef struct Save {
    Machine *machine;
    Rpc *qmp; /* machine's */
    const TagSaveOptions *options;
    int lock_fd; /* -1: not locked */
    GArray *disks;
    const Disk *disk; /* with the machine's state; of disks */
    bool cut_short;   /* a save that was killed has left the guest as it is */
    bool was_running;
    MigrationSettings *settings;
    SaveMark *mark;
    bool is_changed;      /* settings are to be restored */
    bool stop_sent;       /* ours: QEMU is to be told "cont" */
    Profiling *profiling; /* NULL: not asked for */
    int64_t start_us;
    int64_t begin_us; /* of the job */
    int64_t window_us;
} Save;

static void say(const Save *save, const char *text)
{
    progress_end(save->options->progress);
    save->options->say(text);
}

/* "DISK.TAG", which the order's name begins with; for g_free(). */
static char *snapshot_path(const Save *save)
{
    g_autofree char *name =
        g_strdelimit(g_strdup(save->options->tag), "/", '_');

    return g_strdup_printf("%s.%s", save->disk->file, name);
}

/* ---- before ---- */

static bool check_version(const Save *save, GError **error)
{
    json_t *answer;
    int major = 0, minor = 0, micro = 0;

    if (!rpc_execute(save->qmp, "query-version", NULL, &answer, error)) {
        return false;
    }
    (void)json_unpack(answer, "{s:{s:i, s:i, s:i}}", "qemu", "major", &major,
                      "minor", &minor, "micro", &micro);
    json_decref(answer);
    if (major > MIN_MAJOR || (major == MIN_MAJOR && minor >= MIN_MINOR)) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "--tag needs QEMU %d.%d or newer, and this is %d.%d.%d; use "
                "savevm --output",
                MIN_MAJOR, MIN_MINOR, major, minor, micro);
    return false;
}

/* QEMU's working directory, which its file names are relative to. */
static char *working_directory(const Save *save)
{
    struct ucred peer;
    char *directory = NULL;

    if (unix_socket_peer(rpc_fd(save->qmp), &peer, NULL)) {
        directory = process_info_directory(peer.pid, NULL);
    }
    return directory ? directory : g_get_current_dir();
}

/* What QEMU would find as well, but not by name; and what a load could not
 * read. */
static bool check_disk(const Disk *disk, GError **error)
{
    if (!disk->file || g_strcmp0(disk->format, "qcow2") != 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "the disk %s (%s) is writable but not a qcow2 file (%s), "
                    "so it cannot have a snapshot; use savevm --output",
                    disk_name(disk), disk->shown, disk->format);
        return false;
    }
    ByteSource *source = byte_source_open(disk->file, error);
    g_autoptr(Qcow2) qcow2 = source ? qcow2_open(source, error) : NULL;
    byte_source_free(source);
    if (!qcow2) {
        g_prefix_error(error, "the disk %s: ", disk_name(disk));
    }
    return qcow2 != NULL;
}

static bool look_at_disks(Save *save, GError **error)
{
    g_autofree char *directory = working_directory(save);

    save->disks = disks_query(save->qmp, directory, error);
    for (guint i = 0; save->disks && i < save->disks->len; i++) {
        const Disk *disk = &g_array_index(save->disks, Disk, i);

        if (!disk_is_writable(disk)) {
            continue;
        }
        if (!check_disk(disk, error)) {
            return false;
        }
        save->disk = save->disk ? save->disk : disk;
    }
    if (save->disks && !save->disk) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "this machine has no writable disk for its state; use "
                    "savevm --output");
    }
    return save->disk != NULL;
}

static void show_others_progress(uint64_t done_bytes, uint64_t total_bytes,
                                 void *opaque)
{
    progress_bytes(opaque, "waiting for a migration", done_bytes, total_bytes);
}

static bool look_at_state(const Save *save, const GuestState **ret_state,
                          GError **error)
{
    g_autofree char *name = NULL;

    if (!qmp_run_state(save->qmp, &name, error)) {
        return false;
    }
    *ret_state = guest_state_find(name);
    return true;
}

/* Wait until nobody migrates this guest, and it is in a state that stays. */
static bool wait_for_others(Save *save, const GuestState **ret_state,
                            GError **error)
{
    MigrationState migration;
    bool ok = migration_wait(save->machine, show_others_progress,
                             (void *)save->options->progress, &migration, NULL,
                             error);

    progress_end(save->options->progress);
    while (ok && (ok = look_at_state(save, ret_state, error)) &&
           (*ret_state)->save == SAVE_WAIT) {
        ok = machine_pump(save->machine, STATE_POLL_MS, error);
    }
    return ok;
}

/* Whether nobody has touched the migration's settings since a save has left
 * them. */
static bool look_at_settings(Save *save, const SaveMark *left, GError **error)
{
    g_autoptr(MigrationSettings) now =
        migration_settings_new(save->qmp, MIGRATION_TO_FILE, error);

    save->cut_short =
        now && left->was_running && migration_settings_are_set(now);
    return now != NULL;
}

/* What a save that was killed has left goes first: its settings would be taken
 * for the user's, and its job has our name. */
static bool take_over_left(Save *save, GError **error)
{
    g_autoptr(SaveMark) left = NULL;

    if (!save_mark_find(save->qmp, &left, error)) {
        return false;
    }
    if (!left) {
        return true;
    }
    (void)rpc_execute(save->qmp, "job-dismiss",
                      json_pack("{s:s}", "id", JOB_ID), NULL, NULL);
    return look_at_settings(save, left, error) &&
           migration_settings_restore(left->settings, save->qmp, error) &&
           save_mark_remove(left, save->qmp, error);
}

/* Where a save of ours was cut short after its "stop", we know that the guest
 * may run. */
static bool revive(Save *save, GError **error)
{
    save->was_running = true;
    say(save, "an earlier save was not finished and left the guest stopped; it "
              "runs again");
    return rpc_execute(save->qmp, "cont", NULL, NULL, error);
}

static bool look_at_guest(Save *save, GError **error)
{
    const GuestState *state;

    if (!wait_for_others(save, &state, error)) {
        return false;
    }
    if (state->save == SAVE_REFUSE || state->save == SAVE_REVIVE) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "%s",
                    state->text
                        ? state->text
                        : "this guest has not run since it was last saved or "
                          "migrated; resume it first (QMP cont)");
        return false;
    }
    if (save->cut_short && strcmp(state->name, "paused") == 0) {
        return revive(save, error);
    }
    save->was_running = state->save == SAVE_STOP_AND_GO_ON;
    if (!save->was_running && state->text) {
        say(save, state->text);
    }
    return true;
}

/* Takes over control. */
static bool prepare_profile(Save *save, Rpc *control, GError **error)
{
    g_autofree char *path = snapshot_path(save);

    if (!save->was_running) {
        say(save, "warning: the guest is stopped: there is nothing to record "
                  "until it runs (QMP cont)");
    }
    save->profiling =
        profiling_new(save->qmp, control, save->options->profile, path, error);
    return save->profiling != NULL;
}

/* What the plugin is at, if it is there, comes to its end first: QEMU would
 * read, and write, RAM that is not there yet. */
static bool prepare_plugin(Save *save, GError **error)
{
    const TagSaveOptions *options = save->options;
    g_autoptr(GError) local = NULL;
    g_autoptr(Rpc) control = plugin_client_connect_peer(save->qmp, &local);

    if (!control && options->profile) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&local),
            "--profile needs preheat's plugin in this QEMU (start it with "
            "preheat run, or with -plugin libpreheat-plugin.so): ");
        return false;
    }
    if (!control) {
        return true;
    }
    rpc_set_interrupt_fd(control, options->interrupt_fd);
    if (!profiling_make_quiet(control, error)) {
        return false;
    }
    return !options->profile ||
           prepare_profile(save, g_steal_pointer(&control), error);
}

static bool prepare(Save *save, GError **error)
{
    return check_version(save, error) && look_at_disks(save, error) &&
           save_lock_take(save->machine, save->options->progress,
                          &save->lock_fd, error) &&
           take_over_left(save, error) && look_at_guest(save, error) &&
           prepare_plugin(save, error);
}

/* ---- the save itself ---- */

/* The mark says what is to be set back, should we be killed. */
static bool set_up(Save *save, GError **error)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    save->settings =
        migration_settings_new(save->qmp, MIGRATION_TO_FILE, error);
    save->mark = save->settings
                     ? save_mark_put(save->qmp, fd, save->was_running,
                                     save->settings, error)
                     : NULL;
    close(fd);
    if (!save->mark) {
        return false;
    }
    save->is_changed = true;
    return migration_settings_apply(save->settings, save->qmp, error);
}

static json_t *device_list(const Save *save)
{
    json_t *list = json_array();

    for (guint i = 0; i < save->disks->len; i++) {
        const Disk *disk = &g_array_index(save->disks, Disk, i);

        if (disk_is_writable(disk)) {
            json_array_append_new(list, json_string(disk->node));
        }
    }
    return list;
}

/* Have QEMU stop the guest once more, after it has let it go on. */
static bool stop_after(Save *save, GError **error)
{
    uint64_t id;

    if (!rpc_send(save->qmp, "query-status", NULL, &id, error)) {
        return false;
    }
    /* As long as the job is at it, QEMU answers nobody. */
    while (!machine_stands(save->machine) && !rpc_has_answer(save->qmp)) {
        if (!rpc_pump(save->qmp, -1, error)) {
            return false;
        }
    }
    /* Answered before whatever is asked next. */
    save->stop_sent = rpc_send(save->qmp, "stop", NULL, &id, error);
    return save->stop_sent;
}

/* Once the job has begun it is waited for, and a signal has to come twice. */
static bool await_job(Save *save, GError **error)
{
    struct signalfd_siginfo first;
    GError *local = NULL;
    bool ok = job_await(save->qmp, JOB_ID, JOB_CONCLUDED, &local);

    if (!ok && g_error_matches(local, UTIL_ERROR, UTIL_ERROR_INTERRUPTED)) {
        g_clear_error(&local);
        say(save, "interrupted: waiting for QEMU to restore the guest's state; "
                  "a second signal does not wait");
        (void)!read(save->options->interrupt_fd, &first, sizeof first);
        ok = job_await(save->qmp, JOB_ID, JOB_CONCLUDED, &local);
    }
    if (local) {
        g_propagate_error(error, local);
    }
    return ok;
}

static bool save_machine(Save *save, GError **error)
{
    json_t *arguments = json_pack(
        "{s:s, s:s, s:s, s:o}", "job-id", JOB_ID, "tag", save->options->tag,
        "vmstate", save->disk->node, "devices", device_list(save));

    progress_note(save->options->progress, "saving", save->disk->file);
    save->begin_us = g_get_monotonic_time();
    if (!rpc_execute(save->qmp, "snapshot-save", arguments, NULL, error)) {
        return false;
    }
    bool ok =
        (!save->profiling || !save->was_running || stop_after(save, error)) &&
        await_job(save, error);
    progress_end(save->options->progress);
    (void)rpc_execute(save->qmp, "job-dismiss",
                      json_pack("{s:s}", "id", JOB_ID), NULL, NULL);
    if (!ok) {
        g_prefix_error(error, "QEMU could not save: ");
    }
    return ok;
}

static bool restore_settings(Save *save, GError **error)
{
    if (save->is_changed &&
        !migration_settings_restore(save->settings, save->qmp, error)) {
        g_prefix_error(error, "cannot restore QEMU's migration settings: ");
        return false;
    }
    save->is_changed = false;
    return !save->mark || save_mark_remove(save->mark, save->qmp, error);
}

/* Our "stop" may not have been carried out: of a guest that runs on, "cont"
 * makes nothing else. */
static bool run_on(Save *save, GError **error)
{
    if (save->stop_sent && !rpc_execute(save->qmp, "cont", NULL, NULL, error)) {
        g_prefix_error(error, "the guest stays stopped: ");
        return false;
    }
    return true;
}

static void restore_after(Save *save, GError **error)
{
    g_autoptr(GError) second = NULL;

    if ((!restore_settings(save, &second) || !run_on(save, &second)) &&
        !rpc_is_closed(save->qmp)) {
        g_prefix_error(error, "%s; before that, ", second->message);
    }
}

/* ---- the profile ---- */

static bool open_window(Save *save, GError **error)
{
    const char *file = save->disk->file;
    uint64_t len_bytes;
    int fd = file_open_regular(file, &len_bytes, error);
    bool ok = fd >= 0 && profiling_start(save->profiling, fd, file,
                                         save->options->tag, error);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* A profile that cannot be made is reported at the end: the save matters more.
 */
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
    g_clear_pointer(&save->profiling, profiling_free);
}

static bool finish_profiling(Save *save, GError *start_error,
                             json_t **ret_profile, GError **error)
{
    bool ok = start_error == NULL;

    if (!ok) {
        g_propagate_error(error, start_error);
    } else if (save->profiling) {
        ok = profiling_finish(save->profiling, false, save->options->progress,
                              ret_profile, error);
    }
    if (!ok) {
        g_prefix_error(
            error,
            "the snapshot is complete and in place, but it has no order: ");
    }
    return ok;
}

/* ---- all of it ---- */

/* That what was saved can be loaded. */
static bool check_saved(const Save *save, uint64_t *ret_stored_bytes,
                        GError **error)
{
    ByteSource *disk = byte_source_open(save->disk->file, error);
    ByteSource *state =
        disk ? qcow2_state_open(disk, save->options->tag, error) : NULL;
    g_autoptr(RamImage) image =
        state ? ram_image_open_source(state, 0, error) : NULL;

    if (!image) {
        g_prefix_error(
            error, "the snapshot is in place, but preheat cannot load it: ");
        return false;
    }
    *ret_stored_bytes = image->source->stored_bytes;
    return true;
}

static bool run(Save *save, SaveResult *ret_result, GError **error)
{
    GError *profile_error = NULL;
    int64_t stopped_us;

    if (!set_up(save, error) || !save_machine(save, error)) {
        restore_after(save, error);
        return false;
    }
    start_profiling(save, &profile_error);
    if (!restore_settings(save, error)) {
        g_clear_error(&profile_error);
        restore_after(save, error);
        return false;
    }
    bool ok = run_on(save, error);
    stopped_us = g_get_monotonic_time() - save->begin_us;
    if (!ok || !check_saved(save, &ret_result->stored_bytes, error)) {
        g_clear_error(&profile_error);
        return false;
    }
    ret_result->stopped_us = save->was_running ? stopped_us : 0;
    ret_result->window_us = save->window_us;
    ret_result->total_us = g_get_monotonic_time() - save->start_us;
    return finish_profiling(save, profile_error, &ret_result->profile, error);
}

static void clear(Save *save)
{
    if (save->lock_fd >= 0) {
        close(save->lock_fd);
    }
    g_clear_pointer(&save->disks, g_array_unref);
    migration_settings_free(save->settings);
    save_mark_free(save->mark);
    profiling_free(save->profiling);
}

bool tag_saver_run(Machine *machine, const TagSaveOptions *options,
                   char **ret_disk, SaveResult *ret_result, GError **error)
{
    Save save = {.machine = machine,
                 .qmp = machine_qmp(machine),
                 .options = options,
                 .lock_fd = -1,
                 .start_us = g_get_monotonic_time()};
    SaveResult result = {0};
    GError *local = NULL;

    rpc_set_interrupt_fd(save.qmp, options->interrupt_fd);
    bool ok = prepare(&save, &local) && run(&save, &result, &local);
    rpc_set_interrupt_fd(save.qmp, -1);
    if (ok) {
        *ret_disk = g_strdup(save.disk->file);
        *ret_result = result;
    } else {
        g_propagate_error(error, local);
    }
    clear(&save);
    return ok;
}
