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
#include <string.h>
#include <unistd.h>

#include "formats/qcow2-state.h"
#include "formats/qcow2.h"
#include "formats/ram-image.h"
#include "host/disks.h"
#include "host/job.h"
#include "host/process-info.h"
#include "host/save-lock.h"
#include "host/save-profile.h"
#include "host/save-session.h"
#include "host/save-settings.h"
#include "host/unix-socket.h"
#include "util/error.h"
#include "util/file.h"

#define MIN_MAJOR 11
#define MIN_MINOR 1

#define JOB_ID "preheat-savevm"

typedef struct Save {
    SaveSession session;
    const TagSaveOptions *options;
    GArray *disks;
    const Disk *disk; /* with the machine's state; of disks */
    bool was_running;
    SaveSettings settings;
    uint64_t begin_id; /* of the command that begins the job */
    bool stop_sent;    /* ours: QEMU is to be told "cont" */
    SaveProfile profile;
    int64_t start_us;
    int64_t begin_us; /* of the job */
} Save;

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

    if (!rpc_execute(save->session.qmp, "query-version", NULL, &answer,
                     error)) {
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

    if (unix_socket_peer(rpc_fd(save->session.qmp), &peer, NULL)) {
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

    save->disks = disks_query(save->session.qmp, directory, error);
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

/* What a killed save has left, its job with our name as well.  Once the guest
 * is what it was: until then only the mark tells of it. */
static bool take_over_left(Save *save, GError **error)
{
    if (!save->settings.left) {
        return true;
    }
    (void)rpc_execute(save->session.qmp, "job-dismiss",
                      json_pack("{s:s}", "id", JOB_ID), NULL, NULL);
    if (!save_settings_take_over_left(&save->settings, error)) {
        return false;
    }
    save_settings_forget_left(&save->settings);
    return true;
}

/* Where a save of ours was cut short after its "stop", we know that the guest
 * may run. */
static bool revive(Save *save, GError **error)
{
    save->was_running = true;
    save_session_say(
        &save->session,
        "an earlier save was not finished and left the guest stopped; it "
        "runs again");
    return rpc_execute(save->session.qmp, "cont", NULL, NULL, error);
}

static bool look_at_guest(Save *save, GError **error)
{
    const GuestState *state;

    if (!save_session_wait_for_others(&save->session, &state, error)) {
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
    if (save->settings.cut_short && strcmp(state->name, "paused") == 0) {
        return revive(save, error);
    }
    save->was_running = state->save == SAVE_STOP_AND_GO_ON;
    if (!save->was_running && state->text) {
        save_session_say(&save->session, state->text);
    }
    return true;
}

static bool prepare_plugin(Save *save, GError **error)
{
    g_autofree char *path = snapshot_path(save);

    return save_profile_prepare(&save->profile, &save->session, path,
                                save->was_running, error);
}

static bool prepare(Save *save, GError **error)
{
    return check_version(save, error) && look_at_disks(save, error) &&
           save_lock_take(save->session.machine, save->options->progress,
                          &save->session.lock_fd, error) &&
           save_session_look_for_vmgenid(&save->session, error) &&
           save_settings_look_for_left(&save->settings, error) &&
           look_at_guest(save, error) && take_over_left(save, error) &&
           prepare_plugin(save, error);
}

/* ---- the save itself ---- */

/* The mark says what is to be set back, should we be killed. */
static bool set_up(Save *save, GError **error)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    bool ok = save_settings_mark(&save->settings, fd, save->was_running, error);
    close(fd);
    return ok && save_settings_apply(&save->settings, error);
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

static bool receive_begun(void *opaque, GError **error)
{
    Save *save = opaque;

    return rpc_receive(save->session.qmp, save->begin_id, NULL, error);
}

/* Have QEMU stop the guest once more, after it has let it go on. */
static bool stop_after(void *opaque, GError **error)
{
    Save *save = opaque;
    uint64_t id;

    if (!rpc_send(save->session.qmp, "query-status", NULL, &id, error)) {
        return false;
    }
    /* As long as the job is at it, QEMU answers nobody. */
    while (!machine_stands(save->session.machine) &&
           !rpc_has_answer(save->session.qmp)) {
        if (!rpc_pump(save->session.qmp, -1, error)) {
            return false;
        }
    }
    /* Answered before whatever is asked next. */
    save->stop_sent = rpc_send(save->session.qmp, "stop", NULL, &id, error);
    return save->stop_sent;
}

static bool await_job(void *opaque, GError **error)
{
    Save *save = opaque;

    return job_await(save->session.qmp, JOB_ID, JOB_CONCLUDED, error);
}

/* Once the job is asked for it is waited for, and a signal has to come twice:
 * nobody else sets back what it needs. */
static bool await_saved(Save *save, GError **error)
{
    bool is_to_stop = save->profile.profiling && save->was_running;

    return save_session_patiently(&save->session, receive_begun, save, error) &&
           (!is_to_stop ||
            save_session_patiently(&save->session, stop_after, save, error)) &&
           save_session_patiently(&save->session, await_job, save, error);
}

static bool save_machine(Save *save, GError **error)
{
    json_t *arguments = json_pack(
        "{s:s, s:s, s:s, s:o}", "job-id", JOB_ID, "tag", save->options->tag,
        "vmstate", save->disk->node, "devices", device_list(save));

    progress_note(save->session.progress, "saving", save->disk->file);
    save->begin_us = g_get_monotonic_time();
    bool ok = rpc_send(save->session.qmp, "snapshot-save", arguments,
                       &save->begin_id, error) &&
              await_saved(save, error);
    progress_end(save->session.progress);
    (void)rpc_execute(save->session.qmp, "job-dismiss",
                      json_pack("{s:s}", "id", JOB_ID), NULL, NULL);
    if (!ok && !g_error_matches(*error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED)) {
        g_prefix_error(error, "QEMU could not save: ");
    }
    return ok;
}

/* ---- after ---- */

static bool restore_settings(void *opaque, GError **error)
{
    Save *save = opaque;

    return save_settings_restore(&save->settings, error);
}

/* Our "stop" may not have been carried out: of a guest that runs on, "cont"
 * makes nothing else. */
static bool continue_guest(void *opaque, GError **error)
{
    Save *save = opaque;

    if (save->stop_sent &&
        !rpc_execute(save->session.qmp, "cont", NULL, NULL, error)) {
        g_prefix_error(error, "the guest stays stopped: ");
        return false;
    }
    return true;
}

/* As save_session_run_on(). */
static bool run_on(Save *save, GError **error)
{
    save_settings_remove_mark(&save->settings);
    return save_session_run_on(&save->session, continue_guest, save, error);
}

/* After a failure: why the guest stays stopped, if it does, is worth as much
 * as why the save failed.  What is sent now QEMU does even if the user waits no
 * longer. */
static void restore_after(Save *save, GError **error)
{
    g_autoptr(GError) second = NULL;
    bool is_over = save->session.is_interrupted;

    if (!is_over &&
        g_error_matches(*error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED)) {
        save_session_await_second_signal(&save->session);
    }
    save_session_patiently(&save->session, restore_settings, save, &second);
    if (!run_on(save, &second) && !is_over &&
        !rpc_is_closed(save->session.qmp)) {
        g_prefix_error(error, "%s; before that, ", second->message);
    }
}

static void start_profiling(Save *save)
{
    uint64_t len_bytes;

    if (save->profile.profiling) {
        int fd = file_open_regular(save->disk->file, &len_bytes,
                                   &save->profile.error);

        save_profile_start(&save->profile, fd, save->disk->file,
                           save->options->tag);
    }
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
    g_autoptr(GError) restore_error = NULL;
    int64_t stopped_us;

    if (!set_up(save, error) || !save_machine(save, error)) {
        restore_after(save, error);
        return false;
    }
    save_session_patiently(&save->session, restore_settings, save,
                           &restore_error);
    start_profiling(save);
    bool is_restored = run_on(save, &restore_error);
    stopped_us = g_get_monotonic_time() - save->begin_us;
    save_session_unlock(&save->session);
    if (!check_saved(save, &ret_result->stored_bytes, error)) {
        save_profile_discard(&save->profile);
        return false;
    }
    if (!is_restored) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&restore_error),
            "the snapshot is complete and in place, but: ");
        return false;
    }
    ret_result->stopped_us = save->was_running ? stopped_us : 0;
    ret_result->window_us = save->profile.window_us;
    ret_result->total_us = g_get_monotonic_time() - save->start_us;
    return save_profile_finish(&save->profile, &save->session,
                               &ret_result->profile, error);
}

static void clear(Save *save)
{
    save_session_unlock(&save->session);
    g_clear_pointer(&save->disks, g_array_unref);
    save_settings_clear(&save->settings);
    save_profile_clear(&save->profile);
}

bool tag_saver_run(Machine *machine, const TagSaveOptions *options,
                   char **ret_disk, SaveResult *ret_result, GError **error)
{
    Save save = {.session = {.lock_fd = -1,
                             .machine = machine,
                             .qmp = machine_qmp(machine),
                             .interrupt_fd = options->interrupt_fd,
                             .say = options->say,
                             .progress = options->progress},
                 .profile = {.time = options->profile},
                 .options = options,
                 .settings = {.qmp = machine_qmp(machine)},
                 .start_us = g_get_monotonic_time()};
    SaveResult result = {0};
    GError *local = NULL;

    rpc_set_interrupt_fd(save.session.qmp, options->interrupt_fd);
    bool ok = prepare(&save, &local) && run(&save, &result, &local);
    rpc_set_interrupt_fd(save.session.qmp, -1);
    if (ok) {
        *ret_disk = g_strdup(save.disk->file);
        *ret_result = result;
    } else {
        g_propagate_error(error, local);
    }
    clear(&save);
    return ok;
}
