/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/saver.h"

#include <string.h>
#include <unistd.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "host/migration-settings.h"
#include "host/output-file.h"
#include "host/plugin-client.h"
#include "host/qmp.h"
#include "host/unix-socket.h"
#include "util/error.h"
#include "util/progress.h"

/* The longest time between two looks at a migration; its events come at
 * once. */
#define POLL_MS 100

typedef struct Save {
    Rpc *qmp;
    const SaveOptions *options;
    OutputFile *file;
    MigrationSettings *settings;
    Profiling *profiling; /* NULL: not asked for */
    char *order;          /* where its order goes */
    bool was_running;
    bool revived;          /* an earlier save was killed and left it stopped */
    int64_t stopped_at_us; /* 0: not stopped by us */
    int64_t stopped_us;
    int64_t published_at_us;
    bool qemu_ends;
} Save;

/* ---- the end of QEMU ---- */

static void on_event(const char *name, const json_t *data, void *opaque)
{
    Save *save = opaque;
    const char *reason = json_string_value(json_object_get(data, "reason"));

    if (strcmp(name, "SHUTDOWN") == 0 &&
        (g_strcmp0(reason, "host-signal") == 0 ||
         g_strcmp0(reason, "host-qmp-quit") == 0)) {
        save->qemu_ends = true;
    }
}

/* Wait for something to come from QEMU.  One that ends is told nothing any
 * more: up to 10.0 at the least it crashes when it carries out query-migrate
 * after it has given its migration up. */
static bool pump(Save *save, int timeout_ms, GError **error)
{
    bool ok = rpc_pump(save->qmp, timeout_ms, error);

    while (ok && save->qemu_ends) {
        ok = rpc_pump(save->qmp, -1, error);
    }
    return ok;
}

/* ---- a migration's progress ---- */

typedef enum {
    MIGRATION_NONE, /* none, or none that is under way */
    MIGRATION_ACTIVE,
    MIGRATION_COMPLETED,
    MIGRATION_CANCELLED,
    MIGRATION_FAILED,
} MigrationState;

static MigrationState state_from_name(const char *name)
{
    static const struct {
        const char *name;
        MigrationState state;
    } ended[] = {
        {"none", MIGRATION_NONE},
        {"completed", MIGRATION_COMPLETED},
        {"cancelled", MIGRATION_CANCELLED},
        {"failed", MIGRATION_FAILED},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(ended); i++) {
        if (g_strcmp0(name, ended[i].name) == 0) {
            return ended[i].state;
        }
    }
    return name ? MIGRATION_ACTIVE : MIGRATION_NONE;
}

static void show_progress(Progress *progress, const json_t *info)
{
    const json_t *ram = json_object_get(info, "ram");
    json_int_t total = json_integer_value(json_object_get(ram, "total"));
    json_int_t left = json_integer_value(json_object_get(ram, "remaining"));

    if (total > 0 && left >= 0 && left <= total) {
        progress_update(progress, (uint64_t)(total - left), (uint64_t)total);
    }
}

/* Wait until no migration is under way; ret_info: the last query-migrate, a
 * new reference. */
static bool wait_for_migration(Save *save, const char *what,
                               MigrationState *ret_state, json_t **ret_info,
                               GError **error)
{
    g_autoptr(Progress) progress = progress_new(what);

    for (;;) {
        json_t *info;
        MigrationState state;

        if (!rpc_execute(save->qmp, "query-migrate", NULL, &info, error)) {
            return false;
        }
        state =
            state_from_name(json_string_value(json_object_get(info, "status")));
        if (state != MIGRATION_ACTIVE) {
            *ret_state = state;
            *ret_info = info;
            return true;
        }
        show_progress(progress, info);
        json_decref(info);
        if (!pump(save, POLL_MS, error)) {
            return false;
        }
    }
}

/* A migration counts as completed a moment before QEMU takes "cont"; and QEMU
 * 11.1 aborts when it is given another one in that moment. */
static bool wait_until_finalized(Save *save, GError **error)
{
    for (;;) {
        g_autofree char *state = NULL;

        if (!qmp_run_state(save->qmp, &state, error)) {
            return false;
        }
        if (strcmp(state, "finish-migrate") != 0) {
            return true;
        }
        if (!pump(save, 1, error)) {
            return false;
        }
    }
}

static bool wait_for_others(Save *save, GError **error)
{
    MigrationState state;
    json_t *info;

    if (!wait_for_migration(save, "waiting for a migration", &state, &info,
                            error)) {
        return false;
    }
    json_decref(info);
    return wait_until_finalized(save, error);
}

/* ---- before ---- */

static void warn_of_disk(Save *save, const json_t *device)
{
    const json_t *inserted = json_object_get(device, "inserted");
    const char *name = json_string_value(json_object_get(device, "device"));
    const char *file = json_string_value(json_object_get(inserted, "file"));
    g_autofree char *text = NULL;

    if (!inserted || json_is_true(json_object_get(inserted, "ro"))) {
        return;
    }
    text = g_strdup_printf(
        "warning: disk %s (%s) is writable and not part of the snapshot: "
        "keep it as it is at this moment, with an overlay (qemu-img create "
        "-b) or by running the guest with -snapshot",
        name && name[0] ? name : "without a name", file ? file : "?");
    save->options->say(text);
}

static bool look_at_disks(Save *save, GError **error)
{
    json_t *devices;
    const json_t *device;
    size_t i;

    if (!rpc_execute(save->qmp, "query-block", NULL, &devices, error)) {
        return false;
    }
    json_array_foreach(devices, i, device)
    {
        warn_of_disk(save, device);
    }
    json_decref(devices);
    return true;
}

static void say_revived(Save *save)
{
    save->revived = true;
    save->options->say("an earlier save was cut short and left the guest "
                       "stopped; it will run after this one");
}

/* A guest that stands still because it was saved or has migrated away, and
 * that QEMU saves again only when it has run in between.  Only where a save of
 * ours was cut short do we know that it may run here. */
static bool revive(Save *save, GError **error)
{
    if (!output_file_replaces_stale(save->file)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "this guest stands still since it was saved last, and "
                    "QEMU saves it again only when it has run (QMP cont)");
        return false;
    }
    say_revived(save);
    return rpc_execute(save->qmp, "cont", NULL, NULL, error);
}

static bool look_at_guest(Save *save, GError **error)
{
    g_autofree char *state = NULL;

    if (!qmp_run_state(save->qmp, &state, error)) {
        return false;
    }
    if (strcmp(state, "inmigrate") == 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "this QEMU still waits for an incoming migration: there "
                    "is no guest to save yet");
        return false;
    }
    if (strcmp(state, "postmigrate") == 0 && !revive(save, error)) {
        return false;
    }
    /* Cut short after its "stop", before it let QEMU migrate.  Who pauses a
     * guest later finds the settings as they were. */
    if (strcmp(state, "paused") == 0 &&
        output_file_replaces_stale(save->file) &&
        migration_settings_are_left(save->qmp)) {
        say_revived(save);
    }
    save->was_running = save->revived || strcmp(state, "running") == 0;
    return true;
}

static bool create_file(Save *save, GError **error)
{
    struct ucred peer;

    if (!unix_socket_peer_now(rpc_fd(save->qmp), &peer, error)) {
        return false;
    }
    save->file =
        output_file_new(save->options->output, peer.uid, peer.gid, error);
    return save->file != NULL;
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
    /* A load may take long. */
    rpc_set_interrupt_fd(control, save->options->interrupt_fd);
    if (!profiling_make_quiet(control, error)) {
        return false;
    }
    rpc_set_interrupt_fd(control, -1);
    if (save->options->profile) {
        if (!save->was_running) {
            save->options->say("warning: the guest is paused: there is "
                               "nothing to record until it runs (QMP cont)");
        }
        save->order = profile_order_path(save->options->output);
        save->profiling = profiling_new(save->qmp, g_steal_pointer(&control),
                                        save->options->profile, error);
        return save->profiling != NULL;
    }
    return true;
}

/* ---- the save itself ---- */

static bool stop_guest(Save *save, GError **error)
{
    if (!save->was_running) {
        return true;
    }
    save->stopped_at_us = g_get_monotonic_time();
    return rpc_execute(save->qmp, "stop", NULL, NULL, error);
}

static void cancel(Save *save)
{
    MigrationState state;
    json_t *info;

    rpc_set_interrupt_fd(save->qmp, -1);
    if (rpc_execute(save->qmp, "migrate_cancel", NULL, NULL, NULL) &&
        wait_for_migration(save, "cancelling", &state, &info, NULL)) {
        json_decref(info);
    }
}

static bool check_outcome(MigrationState state, const json_t *info,
                          GError **error)
{
    const char *reason = json_string_value(json_object_get(info, "error-desc"));

    if (state == MIGRATION_COMPLETED) {
        return true;
    }
    if (state == MIGRATION_CANCELLED) {
        reason = "somebody cancelled it";
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "QEMU could not save: %s",
                reason ? reason : "no reason given");
    return false;
}

static bool migrate(Save *save, GError **error)
{
    g_autofree char *uri = qmp_file_uri(output_file_temporary(save->file), 0);
    GError *local = NULL;
    MigrationState state;
    json_t *info;
    bool ok;

    if (!rpc_execute(save->qmp, "migrate", json_pack("{s:s}", "uri", uri), NULL,
                     error)) {
        return false;
    }
    rpc_set_interrupt_fd(save->qmp, save->options->interrupt_fd);
    if (!wait_for_migration(save, "saving", &state, &info, &local)) {
        if (g_error_matches(local, UTIL_ERROR, UTIL_ERROR_INTERRUPTED)) {
            cancel(save);
        }
        g_propagate_error(error, local);
        return false;
    }
    rpc_set_interrupt_fd(save->qmp, -1);
    ok = check_outcome(state, info, error);
    json_decref(info);
    return ok;
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

/* Before a profiling window opens: QEMU switches background-snapshot on only
 * where nobody else watches guest RAM. */
static bool restore_settings(Save *save, GError **error)
{
    return wait_until_finalized(save, error) &&
           (!save->settings ||
            migration_settings_restore(save->settings, save->qmp, error));
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

    if (!continue_guest(save, &local)) {
        g_clear_error(error);
        g_propagate_error(error, local);
    }
    return *error == NULL;
}

static bool save_ram(Save *save, GError **error)
{
    save->settings = migration_settings_apply(
        save->qmp, output_file_replaces_stale(save->file), error);
    return save->settings && stop_guest(save, error) && migrate(save, error);
}

static bool open_window(Save *save, GError **error)
{
    int fd = output_file_open(save->file, error);
    bool ok = fd >= 0 && profiling_start(save->profiling, fd,
                                         output_file_temporary(save->file),
                                         save->order, error);

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* The guest still stands still.  A profile that cannot be had is told at the
 * end: the save is worth more. */
static void start_profiling(Save *save, GError **ret_error)
{
    if (!save->profiling) {
        return;
    }
    if (open_window(save, ret_error)) {
        profiling_act_loaded(save->profiling);
    } else {
        g_clear_pointer(&save->profiling, profiling_free);
    }
}

/* Of a QEMU that has ended: the plugin writes its order down before. */
static bool has_order(const Save *save)
{
    g_autoptr(RamImage) snapshot =
        ram_image_open(save->options->output, 0, NULL);
    g_autoptr(PageOrder) order =
        snapshot ? page_order_load(save->order, NULL) : NULL;

    return order && g_strcmp0(order->identity, snapshot->identity) == 0;
}

static bool await_profile(Save *save, json_t **ret_profile, GError **error)
{
    g_autofree char *text = NULL;
    GError *local = NULL;

    if (profiling_finish(save->profiling, save->options->interrupt_fd,
                         ret_profile, &local)) {
        return true;
    }
    if (!g_error_matches(local, UTIL_ERROR, UTIL_ERROR_CLOSED) ||
        !has_order(save)) {
        g_propagate_error(error, local);
        return false;
    }
    g_error_free(local);
    text = g_strdup_printf("QEMU has ended; %s has the first touches until "
                           "then",
                           save->order);
    save->options->say(text);
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
        g_prefix_error(error, "the snapshot is whole and in place, but it "
                              "has no order: ");
    }
    return ok;
}

/* The guest runs again; what remains is the file. */
static bool publish(Save *save, uint64_t *ret_stored_bytes, GError **error)
{
    int fd = output_file_open(save->file, error);
    g_autoptr(RamImage) snapshot = NULL;

    if (fd < 0) {
        return false;
    }
    snapshot =
        ram_image_open_fd(fd, output_file_temporary(save->file), 0, error);
    close(fd);
    if (!snapshot) {
        g_prefix_error(error, "QEMU wrote what cannot be read again: ");
        return false;
    }
    return output_file_publish(save->file, ret_stored_bytes, error);
}

static bool prepare(Save *save, GError **error)
{
    rpc_set_interrupt_fd(save->qmp, save->options->interrupt_fd);
    if (!wait_for_others(save, error)) {
        return false;
    }
    rpc_set_interrupt_fd(save->qmp, -1);
    return look_at_disks(save, error) && create_file(save, error) &&
           look_at_guest(save, error) && prepare_plugin(save, error);
}

/* After a failure: why the guest stays stopped, if it does, is worth as much
 * as why the save failed. */
static void restore_after(Save *save, GError **error)
{
    g_autoptr(GError) second = NULL;

    restore_settings(save, &second);
    if (!run_on(save, &second) && !rpc_is_closed(save->qmp)) {
        g_prefix_error(error, "%s; before that, ", second->message);
    }
}

/* Save, let the guest go on, make the file be the snapshot, and have the
 * profile.  Once RAM is saved the snapshot is whole, whatever becomes of this
 * QEMU. */
static bool run(Save *save, SaveResult *ret_result, GError **error)
{
    g_autoptr(GError) profile_error = NULL;
    g_autoptr(GError) restore_error = NULL;
    bool restored;

    if (!save_ram(save, error)) {
        restore_after(save, error);
        return false;
    }
    restore_settings(save, &restore_error);
    start_profiling(save, &profile_error);
    restored = run_on(save, &restore_error);
    if (!publish(save, &ret_result->stored_bytes, error)) {
        if (save->profiling) {
            profiling_discard(save->profiling);
        }
        return false;
    }
    save->published_at_us = g_get_monotonic_time();
    if (!restored) {
        g_propagate_prefixed_error(error, g_steal_pointer(&restore_error),
                                   "the snapshot is whole and in place, "
                                   "but: ");
        return false;
    }
    return finish_profiling(save, profile_error, &ret_result->profile, error);
}

bool saver_run(Rpc *qmp, const SaveOptions *options, SaveResult *ret_result,
               GError **error)
{
    int64_t start_us = g_get_monotonic_time();
    Save save = {.qmp = qmp, .options = options};
    SaveResult result = {0};
    bool ok;

    rpc_on_event(qmp, on_event, &save);
    ok = prepare(&save, error) && run(&save, &result, error);
    rpc_on_event(qmp, NULL, NULL);
    if (ok) {
        result.stopped_us = save.stopped_us;
        result.total_us = save.published_at_us - start_us;
        *ret_result = result;
    }
    output_file_free(save.file);
    migration_settings_free(save.settings);
    profiling_free(save.profiling);
    g_free(save.order);
    return ok;
}
