/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sequence: two socket pairs and an empty memfd are made, the plugin is
 * told what to load (its end of the pair reads that as soon as it exists),
 * QEMU is started, and the snapshot's headers are read while QEMU starts.
 * When its monitor answers, the machine is compared with the snapshot, the
 * skeleton is written into the memfd, the plugin takes over guest RAM, QEMU
 * loads the skeleton, and the guest continues.
 */
#include "host/loader.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "formats/ram-image.h"
#include "formats/skeleton.h"
#include "host/launcher.h"
#include "host/machine-check.h"
#include "host/machine-watch.h"
#include "host/plugin-client.h"
#include "host/qemu-args.h"
#include "host/qmp.h"
#include "host/ram-blocks.h"
#include "util/error.h"
#include "util/file.h"

/* How often to ask whether a failed read has been mended. */
#define MENDED_POLL_MS 250

/* How often to look whether somebody has come to reach guest RAM: a guest takes
 * longer to find a device that was plugged in, and to start it. */
#define WATCH_POLL_MS 100

/* How long QEMU may take to end. */
#define END_GRACE_MS 2000

typedef struct Load {
    const LoadOptions *options;
    bool full; /* policy full: QEMU itself loads guest RAM */
    Launcher *qemu;
    Rpc *qmp;
    Rpc *control;
    uint64_t load_id; /* of the command that was sent before QEMU started */
    pid_t pid;        /* QEMU's, also when it has become a daemon; 0: unknown */
    QmpVersion version;
    int64_t ready_us; /* when QEMU's monitor answered */
    int snapshot_fd;  /* opened once: the plugin gets it, too */
    int skeleton_fd;
    RamImage *snapshot;
    GArray *blocks;
    MachineWatch *watch; /* NULL: not needed */
    bool loaded;         /* every page is in */
    char *migration;     /* the status in the last MIGRATION event */
    bool running;        /* the guest, by QEMU's events */
    bool read_failed;
    bool continue_when_mended;
} Load;

static void say(const Load *load, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say(const Load *load, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    load->options->say(text);
}

/* Whether QEMU goes on in a process that is not our child. */
static bool is_daemon(const Load *load)
{
    return qemu_args_have(load->options->qemu_argv, "-daemonize");
}

/* ---- events ---- */

static void on_qmp_event(const char *name, const json_t *data, void *opaque)
{
    Load *load = opaque;

    if (strcmp(name, "MIGRATION") == 0) {
        g_free(load->migration);
        load->migration =
            g_strdup(json_string_value(json_object_get(data, "status")));
    } else if (strcmp(name, "RESUME") == 0) {
        load->running = true;
    } else if (strcmp(name, "STOP") == 0) {
        load->running = false;
    }
}

/* Nobody waits for the answer to stop: QEMU may itself be blocked on guest
 * RAM until the read succeeds. */
static void stop_guest(Load *load)
{
    uint64_t id;

    if (load->running && !load->continue_when_mended) {
        load->continue_when_mended =
            rpc_send(load->qmp, "stop", NULL, &id, NULL);
    }
}

static void on_read_error(Load *load, const json_t *data)
{
    const char *file =
        json_string_value(json_object_get(data, CONTROL_KEY_FILE));
    const char *reason =
        json_string_value(json_object_get(data, CONTROL_KEY_ERROR));
    const char *what =
        json_string_value(json_object_get(data, CONTROL_KEY_OPERATION));
    json_int_t offset =
        json_integer_value(json_object_get(data, CONTROL_KEY_OFFSET));

    load->read_failed = true;
    launcher_set_hopeless(load->qemu, true);
    stop_guest(load);
    say(load,
        "%s: %s at offset %" JSON_INTEGER_FORMAT " failed: %s.  The guest is "
        "stopped, and nothing wrong has reached it.  When the cause is "
        "mended, go on with \"preheat control --pid %d retry\"",
        file ? file : load->options->given_snapshot, what ? what : "reading",
        offset, reason ? reason : "no reason given", (int)load->pid);
}

static void on_control_event(const char *name, const json_t *data, void *opaque)
{
    Load *load = opaque;

    if (strcmp(name, CONTROL_EVENT_READ_ERROR) == 0) {
        on_read_error(load, data);
    } else if (strcmp(name, CONTROL_EVENT_LOADED) == 0) {
        load->loaded = true;
    }
}

/* ---- start ---- */

static json_t *load_arguments(const LoadOptions *options)
{
    json_t *arguments = json_pack(
        "{s:s, s:I, s:s, s:I}", CONTROL_KEY_SNAPSHOT, options->snapshot,
        CONTROL_KEY_OFFSET, (json_int_t)options->image_off_bytes,
        CONTROL_KEY_POLICY, load_policy_name(options->policy),
        CONTROL_KEY_START_US, (json_int_t)options->start_us);

    g_assert(arguments);
    if (options->order) {
        json_object_set_new(arguments, CONTROL_KEY_ORDER,
                            json_string(options->order));
    }
    if (options->record) {
        json_object_set_new(arguments, CONTROL_KEY_RECORD,
                            json_string(options->record));
        json_object_set_new(arguments, CONTROL_KEY_RECORD_FOR,
                            json_integer(options->record_ms));
    }
    if (options->learn) {
        json_object_set_new(arguments, CONTROL_KEY_LEARN,
                            json_string(options->order));
        json_object_set_new(arguments, CONTROL_KEY_LEARN_FOR,
                            json_integer(options->record_ms));
    }
    if (options->stats) {
        json_object_set_new(arguments, CONTROL_KEY_STATS,
                            json_string(options->stats));
    }
    return arguments;
}

/* An order is a hint: where it cannot be opened, the plugin warns of it. */
static bool send_load(Load *load, GError **error)
{
    const LoadOptions *options = load->options;
    json_t *arguments = load_arguments(options);
    json_t *names = json_pack("[s]", CONTROL_KEY_SNAPSHOT);
    int fds[2] = {load->snapshot_fd, -1};
    size_t n_fds = 1;
    uint64_t order_len;
    bool ok;

    if (options->order) {
        fds[1] = file_open_regular(options->order, &order_len, NULL);
    }
    if (fds[1] >= 0) {
        json_array_append_new(names, json_string(CONTROL_KEY_ORDER));
        n_fds++;
    }
    json_object_set_new(arguments, CONTROL_KEY_DESCRIPTORS, names);
    ok = rpc_send_fds(load->control, CONTROL_CMD_LOAD, arguments, fds, n_fds,
                      &load->load_id, error);
    if (fds[1] >= 0) {
        close(fds[1]);
    }
    return ok;
}

static bool open_snapshot(Load *load, GError **error)
{
    uint64_t len_bytes;

    load->snapshot_fd =
        file_open_regular(load->options->snapshot, &len_bytes, error);
    if (load->snapshot_fd < 0) {
        g_prefix_error(error, "%s: ", load->options->given_snapshot);
    }
    return load->snapshot_fd >= 0;
}

static bool make_pair(int *ret_ours, int *ret_theirs, GError **error)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        util_error_set_errno(error, errno, "cannot make a socket pair");
        return false;
    }
    *ret_ours = fds[0];
    *ret_theirs = fds[1];
    return true;
}

static bool connect_ends(Load *load, int *ret_qmp_fd, int *ret_control_fd,
                         GError **error)
{
    int ours;

    if (!make_pair(&ours, ret_qmp_fd, error)) {
        return false;
    }
    load->qmp = qmp_new(ours);
    rpc_on_event(load->qmp, on_qmp_event, load);
    if (!make_pair(&ours, ret_control_fd, error)) {
        close(*ret_qmp_fd);
        return false;
    }
    load->control = plugin_client_new(ours);
    rpc_on_event(load->control, on_control_event, load);
    rpc_set_companion(load->qmp, load->control);
    rpc_set_companion(load->control, load->qmp);
    return true;
}

static bool make_memfd(Load *load, GError **error)
{
    load->skeleton_fd = memfd_create("preheat-skeleton", MFD_CLOEXEC);
    if (load->skeleton_fd < 0) {
        util_error_set_errno(error, errno, "cannot make a memfd");
    }
    return load->skeleton_fd >= 0;
}

static bool start_qemu(Load *load, GError **error)
{
    const LoadOptions *options = load->options;
    g_auto(GStrv) argv = NULL;
    int qmp_fd, control_fd;
    int keep_fds[3];

    if (!open_snapshot(load, error) || !make_memfd(load, error) ||
        !connect_ends(load, &qmp_fd, &control_fd, error)) {
        return false;
    }
    keep_fds[0] = qmp_fd;
    keep_fds[1] = control_fd;
    keep_fds[2] = load->full ? load->snapshot_fd : load->skeleton_fd;
    argv = qemu_args_for_load(options->qemu_argv, options->plugin, control_fd,
                              qmp_fd);
    if (send_load(load, error)) {
        load->qemu =
            launcher_start(argv, keep_fds, G_N_ELEMENTS(keep_fds), error);
    }
    close(qmp_fd);
    close(control_fd);
    return load->qemu != NULL;
}

/* ---- before anything is lost ---- */

static bool begin(Load *load, GError **error)
{
    json_t *answer;
    const char *warning;

    if (!qmp_handshake(load->qmp, -1, &load->version, error)) {
        return false;
    }
    load->ready_us = g_get_monotonic_time();
    if (!plugin_client_greeting(load->control, &load->pid, error) ||
        !rpc_receive(load->control, load->load_id, &answer, error)) {
        return false;
    }
    warning = json_string_value(json_object_get(answer, CONTROL_KEY_WARNING));
    if (warning) {
        say(load, "warning: %s", warning);
    }
    json_decref(answer);
    return true;
}

static bool check_machine(Load *load, GError **error)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    bool ok;

    load->blocks = ram_blocks_query(load->qmp, error);
    if (load->blocks && !load->full) {
        load->watch = machine_watch_new(load->pid, load->blocks);
    }
    ok = load->blocks &&
         machine_check_blocks(load->snapshot, load->blocks,
                              load->options->policy, warnings, error) &&
         (load->full || machine_check_devices(load->qmp, load->pid,
                                              load->blocks, warnings, error));
    for (guint i = 0; i < warnings->len; i++) {
        say(load, "warning: %s", (char *)warnings->pdata[i]);
    }
    return ok;
}

static bool tell_milestone(Load *load, Milestone milestone, int64_t time_us,
                           GError **error)
{
    return rpc_execute(load->control, CONTROL_CMD_MILESTONE,
                       json_pack("{s:s, s:I}", CONTROL_KEY_NAME,
                                 milestone_name(milestone), CONTROL_KEY_TIME_US,
                                 (json_int_t)time_us),
                       NULL, error);
}

/* ---- guest RAM ---- */

static json_t *lazy_block_list(const Load *load, const bool *lazy)
{
    json_t *list = json_array();

    for (size_t i = 0; i < load->snapshot->n_blocks; i++) {
        const RamImageBlock *saved = &load->snapshot->blocks[i];
        const RamBlock *block = ram_blocks_find(load->blocks, saved->name);

        if (lazy[i]) {
            json_array_append_new(list, ram_block_to_json(block));
        }
    }
    return list;
}

static bool attach(Load *load, GError **error)
{
    g_autofree bool *lazy = machine_lazy_blocks(load->snapshot, load->blocks);
    json_t *threads;

    return skeleton_write(load->snapshot, lazy, load->skeleton_fd, error) &&
           qmp_vcpu_threads(load->qmp, &threads, error) &&
           rpc_execute(load->control, CONTROL_CMD_ATTACH,
                       json_pack("{s:o, s:o}", CONTROL_KEY_BLOCKS,
                                 lazy_block_list(load, lazy), "vcpu-threads",
                                 threads),
                       NULL, error);
}

/* ---- device state ---- */

static bool begin_migration(Load *load, const char *uri, GError **error)
{
    json_t *arguments = json_pack("{s:s}", "uri", uri);
    bool stays = load->version.major > 9 ||
                 (load->version.major == 9 && load->version.minor >= 1);

    /* Where QEMU can stay after a failure, it can tell the reason. */
    if (stays) {
        json_object_set_new(arguments, "exit-on-error", json_false());
    }
    return rpc_execute(load->qmp, "migrate-incoming", arguments, NULL, error);
}

static void set_migration_failed(Load *load, GError **error)
{
    json_t *info = NULL;
    const char *reason = NULL;

    if (rpc_execute(load->qmp, "query-migrate", NULL, &info, NULL)) {
        reason = json_string_value(json_object_get(info, "error-desc"));
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "%s: QEMU cannot load the device state: %s; start QEMU with "
                "the arguments that it was saved with",
                load->options->given_snapshot,
                reason ? reason : "its own message tells why");
    json_decref(info);
}

static bool wait_for_migration(Load *load, GError **error)
{
    while (g_strcmp0(load->migration, "completed") != 0) {
        if (g_strcmp0(load->migration, "failed") == 0) {
            set_migration_failed(load, error);
            return false;
        }
        if (!rpc_pump(load->qmp, -1, error)) {
            return false;
        }
    }
    return true;
}

/* Without mapped-ram afterwards: what QEMU saves later, and for whom, is not
 * ours to decide. */
static bool load_device_state(Load *load, GError **error)
{
    g_autofree char *path = g_strdup_printf(
        "/proc/self/fd/%d", load->full ? load->snapshot_fd : load->skeleton_fd);
    g_autofree char *uri = qmp_file_uri(path, load->options->image_off_bytes);

    return qmp_use_mapped_ram(load->qmp, error) &&
           qmp_set_capability(load->qmp, "events", true, error) &&
           begin_migration(load, uri, error) &&
           wait_for_migration(load, error) &&
           qmp_set_capability(load->qmp, "mapped-ram", false, error);
}

/* ---- the guest runs ---- */

static bool wait_for_pages(Load *load, GError **error)
{
    LoadGoal goal =
        load->options->wait == LOAD_WAIT_HOT ? LOAD_GOAL_HOT : LOAD_GOAL_ALL;

    if (load->options->wait == LOAD_WAIT_NONE) {
        return true;
    }
    return rpc_execute(
        load->control, CONTROL_CMD_WAIT,
        json_pack("{s:s}", CONTROL_KEY_FOR, load_goal_name(goal)), NULL, error);
}

static bool resume(Load *load, GError **error)
{
    return rpc_execute(load->qmp, "cont", NULL, NULL, error) &&
           tell_milestone(load, MILESTONE_RESUMED, g_get_monotonic_time(),
                          error);
}

static bool load_snapshot(Load *load, GError **error)
{
    const LoadOptions *options = load->options;
    bool stays_paused = qemu_args_have(options->qemu_argv, "-S");

    load->snapshot =
        ram_image_open_fd(load->snapshot_fd, options->given_snapshot,
                          options->image_off_bytes, error);
    return load->snapshot && begin(load, error) && check_machine(load, error) &&
           tell_milestone(load, MILESTONE_QEMU_READY, load->ready_us, error) &&
           (load->full || attach(load, error)) &&
           load_device_state(load, error) &&
           tell_milestone(
               load, load->full ? MILESTONE_LOADED : MILESTONE_DEVICE_STATE,
               g_get_monotonic_time(), error) &&
           wait_for_pages(load, error) &&
           (stays_paused ? tell_milestone(load, MILESTONE_PAUSED,
                                          g_get_monotonic_time(), error)
                         : resume(load, error));
}

/* After a read error: whether somebody has mended it. */
static void look_whether_mended(Load *load)
{
    json_t *stats;
    LoadState state;
    uint64_t id;

    if (!rpc_execute(load->control, CONTROL_CMD_QUERY, NULL, &stats, NULL)) {
        return;
    }
    if (load_state_from_name(
            json_string_value(json_object_get(stats, CONTROL_KEY_STATE)),
            &state) &&
        state != LOAD_STATE_FAILED) {
        load->read_failed = false;
        launcher_set_hopeless(load->qemu, false);
        if (load->continue_when_mended) {
            rpc_send(load->qmp, "cont", NULL, &id, NULL);
        }
        load->continue_when_mended = false;
        say(load, "%s: reading goes on", load->options->given_snapshot);
    }
    json_decref(stats);
}

/* Somebody will be able to touch pages that are not there yet, once the guest
 * has started that device: it stands still until every page is in. */
static void load_at_once(Load *load, const char *found)
{
    bool was_running = load->running;

    say(load, "warning: %s.  The guest stands still until the rest is loaded",
        found);
    if ((!was_running || rpc_execute(load->qmp, "stop", NULL, NULL, NULL)) &&
        rpc_execute(load->control, CONTROL_CMD_LOAD_REST, NULL, NULL, NULL) &&
        rpc_execute(
            load->control, CONTROL_CMD_WAIT,
            json_pack("{s:s}", CONTROL_KEY_FOR, load_goal_name(LOAD_GOAL_ALL)),
            NULL, NULL) &&
        was_running) {
        rpc_execute(load->qmp, "cont", NULL, NULL, NULL);
    }
}

static void look_who_came(Load *load)
{
    g_autofree char *found = NULL;

    if (machine_watch_look(load->watch, load->qmp, &found, NULL) && found) {
        load_at_once(load, found);
    }
}

static void stay(Load *load)
{
    int timeout_ms = -1;

    do {
        bool watched = load->watch && !load->loaded && !load->read_failed;

        if (load->read_failed) {
            look_whether_mended(load);
        } else if (watched) {
            look_who_came(load);
        }
        timeout_ms = load->read_failed ? MENDED_POLL_MS
                     : watched         ? WATCH_POLL_MS
                                       : -1;
    } while (rpc_pump(load->qmp, timeout_ms, NULL));
}

/* ---- the end ---- */

/* Whether QEMU has closed its monitor, or does so within a short time. */
static bool qemu_has_ended(Load *load)
{
    int64_t deadline_us = g_get_monotonic_time() + END_GRACE_MS * INT64_C(1000);

    while (!rpc_is_closed(load->qmp) && g_get_monotonic_time() < deadline_us) {
        rpc_pump(load->qmp, END_GRACE_MS / 10, NULL);
    }
    return rpc_is_closed(load->qmp);
}

/* What QEMU said about it is on standard error already. */
static void explain_end(const Load *load, int status)
{
    if (status > 128) {
        say(load, "QEMU was ended by a signal (%s) before the guest was loaded",
            g_strsignal(status - 128));
        return;
    }
    if (load->ready_us != 0) {
        say(load, "QEMU ended with status %d before the guest was loaded",
            status);
        return;
    }
    say(load,
        "QEMU ended with status %d before its monitor answered.  If it "
        "refused the plugin: the plugin knows the versions 2 (QEMU 9.0 to "
        "10.2) and 7 (QEMU 11.1) of QEMU's plugin interface; try another "
        "with --plugin-api N",
        status);
}

static void signal_qemu(Load *load, int signal)
{
    launcher_signal(load->qemu, signal);
    if (load->pid > 0) {
        kill(load->pid, signal);
    }
}

/* Give QEMU time to clean up after itself, where it still can. */
static void end_qemu(Load *load)
{
    bool answers = load->ready_us != 0;
    uint64_t id;

    if (load->pid == 0 && is_daemon(load)) {
        plugin_client_greeting(load->control, &load->pid, NULL);
    }
    if (!answers || !rpc_send(load->qmp, "quit", NULL, &id, NULL)) {
        signal_qemu(load, SIGTERM);
    }
    if (!qemu_has_ended(load)) {
        signal_qemu(load, SIGKILL);
    }
    launcher_wait(load->qemu);
}

static bool run(Load *load, int *ret_status, GError **error)
{
    GError *local = NULL;

    if (!start_qemu(load, error)) {
        return false;
    }
    if (load_snapshot(load, &local)) {
        if (!is_daemon(load)) {
            stay(load);
        }
        *ret_status = launcher_wait(load->qemu);
        return true;
    }
    if (g_error_matches(local, UTIL_ERROR, UTIL_ERROR_CLOSED) &&
        qemu_has_ended(load)) {
        int status = launcher_wait(load->qemu);

        g_error_free(local);
        if (status != 0) {
            explain_end(load, status);
        }
        *ret_status = status;
        return true;
    }
    end_qemu(load);
    g_propagate_error(error, local);
    return false;
}

static void clear(Load *load)
{
    launcher_free(load->qemu);
    rpc_free(load->qmp);
    rpc_free(load->control);
    ram_image_free(load->snapshot);
    machine_watch_free(load->watch);
    g_clear_pointer(&load->blocks, g_array_unref);
    g_free(load->migration);
    if (load->skeleton_fd >= 0) {
        close(load->skeleton_fd);
    }
    if (load->snapshot_fd >= 0) {
        close(load->snapshot_fd);
    }
}

bool loader_run(const LoadOptions *options, int *ret_status, GError **error)
{
    Load load = {
        .options = options,
        .full = options->policy == LOAD_POLICY_FULL,
        .snapshot_fd = -1,
        .skeleton_fd = -1,
    };
    bool ok = run(&load, ret_status, error);

    clear(&load);
    return ok;
}
