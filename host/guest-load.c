/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/guest-load.h"

#include <string.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "host/disk-revert.h"
#include "host/image-state.h"
#include "host/incoming.h"
#include "host/load-image.h"
#include "host/machine-check.h"
#include "host/machine-difference.h"
#include "host/machine-manifest.h"
#include "host/machine-watch.h"
#include "host/page-wait.h"
#include "host/process-info.h"
#include "host/qemu-args.h"
#include "host/qmp.h"
#include "host/ram-access.h"
#include "host/ram-blocks.h"
#include "host/read-errors.h"
#include "util/error.h"

/* How often to look whether somebody has come to reach guest RAM: a guest takes
 * longer to find a device that was plugged in, and to start it. */
#define WATCH_POLL_MS 100

struct GuestLoad {
    const LoadOptions *options;
    bool full;        /* policy full: QEMU itself loads guest RAM */
    Machine *machine; /* borrowed; NULL: not yet */
    ReadErrors *read_errors;
    uint64_t load_id; /* of the command that was sent before QEMU started */
    int64_t ready_us; /* when QEMU's monitor answered; 0: it did not */
    LoadImage image;
    GArray *blocks;
    bool *lazy; /* which of the image's blocks the plugin loads; NULL: not
                   known yet, or none */
    uint64_t attach_id;     /* of the command that was sent for them */
    GPtrArray *differences; /* from the machine that was saved, as texts */
    MachineWatch *watch;    /* or NULL */
    bool begun;             /* the plugin has taken the load */
    bool loaded;            /* all of it */
};

static void say(const GuestLoad *load, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

static void say(const GuestLoad *load, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    load->options->say(text);
}

static void set_loaded(GuestLoad *load, const json_t *stats)
{
    load->loaded = true;
    read_errors_set_loaded(load->read_errors);
    progress_end(load->options->progress);
    load_tell(load->options, (LoadNews){.kind = LOAD_NEWS_LOADED,
                                        .pid = machine_pid(load->machine),
                                        .stats = stats});
}

static void on_plugin_event(const char *name, const json_t *data, void *opaque)
{
    GuestLoad *load = opaque;

    if (strcmp(name, CONTROL_EVENT_LOADED) == 0) {
        set_loaded(load, data);
    } else {
        read_errors_take_event(load->read_errors, name, data);
    }
}

/* ---- what is to be loaded ---- */

GuestLoad *guest_load_new(const LoadOptions *options, GError **error)
{
    g_autoptr(GuestLoad) load = g_new0(GuestLoad, 1);

    load->options = options;
    load->full = options->policy == LOAD_POLICY_FULL;
    load->differences = g_ptr_array_new_with_free_func(g_free);
    return load_image_open(&load->image, options, error)
               ? g_steal_pointer(&load)
               : NULL;
}

void guest_load_free(GuestLoad *load)
{
    if (!load) {
        return;
    }
    machine_watch_free(load->watch);
    read_errors_free(load->read_errors);
    load_image_clear(&load->image);
    g_clear_pointer(&load->blocks, g_array_unref);
    g_free(load->lazy);
    g_ptr_array_unref(load->differences);
    g_free(load);
}

void guest_load_set_machine(GuestLoad *load, Machine *machine)
{
    const LoadOptions *options = load->options;

    load->machine = machine;
    load->read_errors =
        read_errors_new(machine, options->say, options->progress);
    rpc_on_event(machine_control(machine), on_plugin_event, load);
}

static bool send_command(GuestLoad *load, uint64_t max_ram_bytes,
                         GError **error)
{
    return load_command_send(machine_control(load->machine), load->options,
                             &load->image.files, max_ram_bytes, &load->load_id,
                             error);
}

bool guest_load_send(GuestLoad *load, GError **error)
{
    return send_command(load, LOAD_IMAGE_EARLY_RAM_BYTES, error);
}

/* ---- before anything is lost ---- */

/* With policy full nothing is refused that QEMU may know better. */
static bool is_forgiven(const GuestLoad *load, GError **error)
{
    bool is_over = g_error_matches(*error, UTIL_ERROR, UTIL_ERROR_CLOSED) ||
                   g_error_matches(*error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED);

    if (!load->full || is_over) {
        return false;
    }
    say(load, "warning: %s; QEMU itself will check it", (*error)->message);
    g_clear_error(error);
    return true;
}

/* While QEMU starts. */
static bool open_image(GuestLoad *load, GError **error)
{
    return load_image_read(&load->image, load->options, error) ||
           is_forgiven(load, error);
}

/* What a load wants to know of QEMU, all at once. */
static bool ask_ahead(GuestLoad *load, GError **error)
{
    static const char *const questions[] = {
        "query-cpus-fast",
        "query-migrate-capabilities",
        "query-migrate-parameters",
    };
    Rpc *qmp = machine_qmp(load->machine);

    if (!rpc_ask_ahead(qmp, "x-query-ramblock", NULL, error) ||
        (load->options->manifest && !machine_manifest_ask_ahead(qmp, error)) ||
        !ram_access_ask_ahead(qmp, error)) {
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(questions); i++) {
        if (!rpc_ask_ahead(qmp, questions[i], NULL, error)) {
            return false;
        }
    }
    return true;
}

/* Its monitor answers. */
static bool set_ready(GuestLoad *load, GError **error)
{
    load->ready_us = g_get_monotonic_time();
    if (!load->full && !ask_ahead(load, error)) {
        return false;
    }
    read_errors_announce(load->read_errors);
    return true;
}

/* What the plugin says to its command. */
static bool take_answer(GuestLoad *load, GError **error)
{
    json_t *answer;
    const char *warning;

    if (!rpc_receive(machine_control(load->machine), load->load_id, &answer,
                     error)) {
        return false;
    }
    load->begun = true;
    warning = json_string_value(json_object_get(answer, CONTROL_KEY_WARNING));
    if (warning) {
        say(load, "warning: %s", warning);
    }
    json_decref(answer);
    return true;
}

static bool await_qemu(GuestLoad *load, GError **error)
{
    return machine_await(load->machine, error) && set_ready(load, error) &&
           ((load_image_is_large(&load->image) && !load->full) ||
            take_answer(load, error));
}

static uint64_t machine_ram(const GuestLoad *load)
{
    uint64_t ram_bytes = 0;

    for (guint i = 0; i < load->blocks->len; i++) {
        ram_bytes += g_array_index(load->blocks, RamBlock, i).total_bytes;
    }
    return ram_bytes;
}

static bool look_at_ram(GuestLoad *load, GError **error)
{
    load->blocks = ram_blocks_query(machine_qmp(load->machine), error);
    return load->blocks &&
           load_image_read_late(&load->image, machine_ram(load), error);
}

static bool check_access(GuestLoad *load, GPtrArray *warnings, GError **error)
{
    pid_t pid = machine_pid(load->machine);

    load->watch = machine_watch_new(pid, load->blocks);
    return machine_check_devices(machine_qmp(load->machine), pid, load->blocks,
                                 warnings, error);
}

static void warn(const GuestLoad *load, const GPtrArray *warnings)
{
    for (guint i = 0; i < warnings->len; i++) {
        say(load, "warning: %s", (char *)warnings->pdata[i]);
    }
}

static bool tell_differences(GuestLoad *load, GError **error)
{
    return machine_difference_tell(
        load->options, load->image.snapshot->identity,
        machine_qmp(load->machine), load->differences, error);
}

/* Whether the snapshot's RAM is the machine's; where it is not, what else is
 * different may say why. */
static bool check_ram(GuestLoad *load, GError **error)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) reason = NULL;

    if (!load->image.snapshot) {
        return true;
    }
    if (!look_at_ram(load, error)) {
        return is_forgiven(load, error);
    }
    bool ok = machine_check_blocks(load->image.snapshot, load->blocks,
                                   load->options->policy, warnings, &reason);
    warn(load, warnings);
    if (!ok && tell_differences(load, error)) {
        g_propagate_error(error, g_steal_pointer(&reason));
    }
    return ok;
}

/* Whether the rest of the machine is fit for it. */
static bool check_devices(GuestLoad *load, GError **error)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);

    if (!load->blocks) {
        return true;
    }
    bool ok = tell_differences(load, error) &&
              (load->full || check_access(load, warnings, error)) &&
              (!load->options->template ||
               machine_check_clonable(machine_qmp(load->machine), error));
    warn(load, warnings);
    return ok;
}

/* The one that QEMU's file names are relative to.  A daemon, which we have
 * started, has left it. */
static char *qemu_directory(const GuestLoad *load)
{
    char *directory =
        machine_is_daemon(load->machine)
            ? NULL
            : process_info_directory(machine_pid(load->machine), NULL);

    return directory ? directory : g_get_current_dir();
}

/* A machine that lies in its disk goes on with its disks as they were. */
static bool revert_disks(GuestLoad *load, GError **error)
{
    const LoadOptions *options = load->options;
    g_autofree char *directory = qemu_directory(load);
    const char *qemu = options->qemu_argv ? options->qemu_argv[0] : NULL;

    return !options->tag ||
           disk_revert(machine_qmp(load->machine), options->tag,
                       load->image.files.snapshot, options->given_snapshot,
                       directory, qemu, error);
}

/* For the answer see rpc_receive(). */
static bool tell_milestone(GuestLoad *load, Milestone milestone,
                           int64_t time_us, uint64_t *ret_id, GError **error)
{
    return rpc_send(machine_control(load->machine), CONTROL_CMD_MILESTONE,
                    json_pack("{s:s, s:I}", CONTROL_KEY_NAME,
                              milestone_name(milestone), CONTROL_KEY_TIME_US,
                              (json_int_t)time_us),
                    ret_id, error);
}

static bool tell_now(GuestLoad *load, Milestone milestone, GError **error)
{
    uint64_t id;

    return tell_milestone(load, milestone, g_get_monotonic_time(), &id,
                          error) &&
           rpc_receive(machine_control(load->machine), id, NULL, error);
}

/* ---- guest RAM ---- */

static json_t *lazy_block_list(const GuestLoad *load)
{
    json_t *list = json_array();

    for (size_t i = 0; i < load->image.snapshot->n_blocks; i++) {
        const RamImageBlock *saved = &load->image.snapshot->blocks[i];
        const RamBlock *block = ram_blocks_find(load->blocks, saved->name);

        if (load->lazy[i]) {
            json_array_append_new(list, ram_block_to_json(block));
        }
    }
    return list;
}

/* Have the plugin take over guest RAM; the answer is not waited for. */
static bool begin_attach(GuestLoad *load, GError **error)
{
    json_t *threads;

    load->lazy = machine_lazy_blocks(load->image.snapshot, load->blocks);
    return qmp_vcpu_threads(machine_qmp(load->machine), &threads, error) &&
           rpc_send(machine_control(load->machine), CONTROL_CMD_ATTACH,
                    json_pack("{s:o, s:o}", CONTROL_KEY_BLOCKS,
                              lazy_block_list(load), CONTROL_KEY_VCPU_THREADS,
                              threads),
                    &load->attach_id, error);
}

static bool load_incoming(const GuestLoad *load, Incoming *incoming,
                          GError **error)
{
    bool ok = incoming_load(incoming, error);

    rpc_forget_ahead(machine_qmp(load->machine));
    if (!ok) {
        g_prefix_error(error, "%s: ", load->options->given_snapshot);
        machine_difference_explain(load->differences, error);
    }
    return ok;
}

static bool load_full(GuestLoad *load, GError **error)
{
    g_autoptr(Incoming) incoming =
        incoming_new(load->machine, load->image.files.snapshot,
                     load_image_off_bytes(&load->image, load->options), error);

    if (!incoming || !load_incoming(load, incoming, error) ||
        !incoming_end(incoming, error) ||
        !tell_now(load, MILESTONE_LOADED, error)) {
        return false;
    }
    set_loaded(load, NULL);
    return true;
}

static bool load_skeleton(GuestLoad *load, int fd, GError **error)
{
    Rpc *control = machine_control(load->machine);
    g_autoptr(Incoming) incoming =
        incoming_new(load->machine, fd,
                     load_image_off_bytes(&load->image, load->options), error);
    uint64_t id;

    return incoming && rpc_receive(control, load->attach_id, NULL, error) &&
           load_incoming(load, incoming, error) &&
           tell_milestone(load, MILESTONE_DEVICE_STATE, g_get_monotonic_time(),
                          &id, error) &&
           incoming_end(incoming, error) &&
           rpc_receive(control, id, NULL, error);
}

/* While the plugin takes over guest RAM, QEMU is given the skeleton. */
static bool load_lazily(GuestLoad *load, GError **error)
{
    int fd = incoming_make_skeleton(load->image.snapshot, load->lazy, error);
    bool ok = fd >= 0 && load_skeleton(load, fd, error);

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* ---- the guest runs ---- */

static bool wait_for_pages(GuestLoad *load, GError **error)
{
    static const struct {
        LoadGoal goal;
        const char *until;
    } waits[] = {
        [LOAD_WAIT_HOT] = {LOAD_GOAL_HOT,
                           "with --wait hot, the guest runs when the pages of "
                           "the order are loaded"},
        [LOAD_WAIT_ALL] =
            {LOAD_GOAL_ALL,
             "with --wait all, the guest runs when that page is loaded"},
    };
    LoadWait wait = load->options->wait;
    bool ok;

    if (wait == LOAD_WAIT_NONE) {
        return true;
    }
    read_errors_set_waiting(load->read_errors, waits[wait].until);
    ok = page_wait(load->machine, waits[wait].goal, load->options->progress,
                   error);
    read_errors_set_waiting(load->read_errors, NULL);
    return ok;
}

/* Whether the guest is to run, as QEMU itself decides it. */
static bool is_to_run(const GuestLoad *load)
{
    const char *saved = load->image.run_state.name;

    if (load->options->paused ||
        (load->options->qemu_argv &&
         qemu_args_have(load->options->qemu_argv, "-S"))) {
        return false;
    }
    if (load->options->resume || saved[0] == '\0' ||
        g_str_equal(saved, "running") || g_str_equal(saved, "suspended")) {
        return true;
    }
    say(load,
        "%s: the guest was not running when it was saved (%s), and is not "
        "running now: resume it with QMP cont, or load it with --resume",
        load->options->given_snapshot, saved);
    return false;
}

/* "cont" is the last command that QEMU gets: once the guest runs, somebody may
 * end QEMU, and up to 10.0 at the least it crashes when a command comes while
 * its monitors are cleaned up. */
static bool hand_over(GuestLoad *load, GError **error)
{
    bool run = is_to_run(load);

    if (!read_errors_check_unchanged(load->read_errors, error) ||
        (run &&
         !rpc_execute(machine_qmp(load->machine), "cont", NULL, NULL, error))) {
        return false;
    }
    read_errors_set_handed_over(load->read_errors);
    progress_end(load->options->progress);
    load_tell(load->options,
              (LoadNews){.kind = run ? LOAD_NEWS_RESUMED : LOAD_NEWS_PAUSED,
                         .pid = machine_pid(load->machine)});
    return tell_now(load, run ? MILESTONE_RESUMED : MILESTONE_PAUSED, error);
}

/* Into a machine whose RAM has been compared with the snapshot's. */
static bool begin(GuestLoad *load, GError **error)
{
    uint64_t id;

    return tell_milestone(load, MILESTONE_QEMU_READY, load->ready_us, &id,
                          error) &&
           (load->full || begin_attach(load, error));
}

static bool complete(GuestLoad *load, GError **error)
{
    return (load->full ? load_full(load, error) : load_lazily(load, error)) &&
           wait_for_pages(load, error) && hand_over(load, error);
}

/* The plugin has the load, or gets it now that the machine is known. */
static bool have_begun(GuestLoad *load, GError **error)
{
    uint64_t max_ram_bytes =
        load->blocks ? machine_ram(load) : LOAD_IMAGE_EARLY_RAM_BYTES;

    return load->begun || (send_command(load, max_ram_bytes, error) &&
                           take_answer(load, error));
}

/* A machine that is refused is ended, and what the plugin has done to its RAM
 * by then is of no account: so the plugin need not wait for QEMU to tell of its
 * devices. */
bool guest_load_run(GuestLoad *load, GError **error)
{
    return open_image(load, error) && await_qemu(load, error) &&
           check_ram(load, error) && have_begun(load, error) &&
           begin(load, error) && check_devices(load, error) &&
           revert_disks(load, error) && complete(load, error);
}

bool guest_load_prepare(GuestLoad *load, GError **error)
{
    return open_image(load, error) && machine_await(load->machine, error) &&
           set_ready(load, error) && check_ram(load, error) &&
           check_devices(load, error);
}

/* The images of the disks, where the machine comes from the manifest. */
static bool check_disks_unchanged(const GuestLoad *load, GError **error)
{
    const LoadOptions *options = load->options;

    if (!options->argv_is_saved) {
        return true;
    }
    for (guint i = 0; i < options->manifest->disks->len; i++) {
        if (!image_state_check(
                &g_array_index(options->manifest->disks, ManifestDisk, i),
                error)) {
            return false;
        }
    }
    return true;
}

/* Looked at once the plugin has opened the snapshot, and notes changes
 * itself. */
static bool check_unchanged(const GuestLoad *load, GError **error)
{
    return load_image_check_unchanged(&load->image, load->options, error) &&
           check_disks_unchanged(load, error);
}

/* Somebody may have used QEMU's other monitors: what was asked ahead is not to
 * be relied on. */
bool guest_load_run_prepared(GuestLoad *load, GError **error)
{
    load->ready_us = g_get_monotonic_time();
    rpc_forget_ahead(machine_qmp(load->machine));
    return incoming_check_deferred(load->machine, error) &&
           have_begun(load, error) && check_unchanged(load, error) &&
           revert_disks(load, error) && begin(load, error) &&
           complete(load, error);
}

/* What can be refused is refused before the plugin takes the load, since there
 * is but one.  QEMU is not to run the guest by itself as soon as the device
 * state is there: of one that waits, "stop" asks just that. */
bool guest_load_run_adopted(GuestLoad *load, Machine *machine, GError **error)
{
    guest_load_set_machine(load, machine);
    return set_ready(load, error) && incoming_check_deferred(machine, error) &&
           open_image(load, error) && check_ram(load, error) &&
           check_devices(load, error) && revert_disks(load, error) &&
           have_begun(load, error) &&
           rpc_execute(machine_qmp(machine), "stop", NULL, NULL, error) &&
           begin(load, error) && complete(load, error);
}

bool guest_load_has_begun(const GuestLoad *load)
{
    return load->begun;
}

bool guest_load_is_complete(const GuestLoad *load)
{
    return load->loaded;
}

bool guest_load_holds_guest(const GuestLoad *load)
{
    return read_errors_hold_guest(load->read_errors);
}

static bool load_the_rest(const GuestLoad *load, GError **error)
{
    Rpc *control = machine_control(load->machine);

    return rpc_execute(control, CONTROL_CMD_LOAD_REST, NULL, NULL, error) &&
           rpc_execute(control, CONTROL_CMD_WAIT,
                       json_pack("{s:s}", CONTROL_KEY_FOR,
                                 load_goal_name(LOAD_GOAL_ALL)),
                       NULL, error);
}

/* Somebody will be able to touch pages that are not there yet, once the guest
 * has started that device: it is stopped until every page is loaded. */
static void load_at_once(GuestLoad *load, const char *found)
{
    Rpc *qmp = machine_qmp(load->machine);
    bool was_running = machine_runs(load->machine);
    g_autoptr(GError) error = NULL;
    bool ok;

    say(load, "warning: %s.  The guest is stopped until the rest is loaded",
        found);
    machine_ignore_interrupts(load->machine, true);
    ok = (!was_running || rpc_execute(qmp, "stop", NULL, NULL, &error)) &&
         load_the_rest(load, &error) &&
         (!was_running || rpc_execute(qmp, "cont", NULL, NULL, &error));
    if (!ok && !machine_ends(load->machine)) {
        say(load,
            "warning: the rest is not loaded: %s.  A guest that is stopped "
            "stays so: preheat control --pid %d wait '{\"for\": \"all\"}' "
            "tells when every page is loaded; resume it then with QMP cont",
            error->message, (int)machine_pid(load->machine));
    }
    machine_ignore_interrupts(load->machine, false);
}

static void look_who_came(GuestLoad *load)
{
    g_autofree char *found = NULL;

    if (machine_watch_look(load->watch, machine_qmp(load->machine), &found,
                           NULL) &&
        found) {
        load_at_once(load, found);
    }
}

int guest_load_attend(GuestLoad *load)
{
    int timeout_ms = read_errors_attend(load->read_errors);

    if (load->watch && !load->loaded && timeout_ms < 0 &&
        !machine_ends(load->machine)) {
        look_who_came(load);
        timeout_ms = WATCH_POLL_MS;
    }
    return timeout_ms;
}

void guest_load_let_go(GuestLoad *load)
{
    read_errors_let_go(load->read_errors);
}

bool guest_load_blocks_end(const GuestLoad *load, int64_t since_us)
{
    return read_errors_block_end(load->read_errors, since_us);
}

bool guest_load_was_answered(const GuestLoad *load)
{
    return load->ready_us != 0;
}

bool guest_load_plugin_answered(const GuestLoad *load)
{
    g_autoptr(GError) error = NULL;

    return load->begun ||
           rpc_receive(machine_control(load->machine), load->load_id, NULL,
                       &error) ||
           g_error_matches(error, UTIL_ERROR, UTIL_ERROR_REFUSED);
}
