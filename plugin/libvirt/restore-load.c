/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/libvirt/restore-load.h"

#include <string.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "formats/libvirt-image.h"
#include "formats/ram-image.h"
#include "formats/skeleton.h"
#include "host/load-command.h"
#include "host/machine-check.h"
#include "host/machine-watch.h"
#include "host/plugin-client.h"
#include "host/qmp.h"
#include "host/ram-blocks.h"
#include "plugin/libvirt/restore-order.h"

/* How long first touches are recorded, or learned from. */
#define OBSERVE_MS 10000

/* How often to look whether somebody has come to reach guest RAM. */
#define WATCH_POLL_MS 100

struct RestoreLoad {
    const RestoreJob *job;
    RestoreSwap *swap;
    Rpc *control;
    Rpc *qmp;
    RamImage *image;
    GArray *blocks;
    MachineWatch *watch; /* or NULL */

    /* By the events so far. */
    bool runs;        /* the guest */
    bool has_run;     /* … by now */
    bool has_devices; /* QEMU has loaded the skeleton */
    bool is_loaded;   /* every page is in */
    bool page_fails;  /* so that the guest is to stand still */
    bool is_resumed;  /* the guest was let run again after that */
    bool ends;        /* QEMU does */

    bool told_devices;
    bool told_resumed;
    bool has_stopped; /* we have had the guest stopped */
};

static void free_load(RestoreLoad *load)
{
    machine_watch_free(load->watch);
    g_clear_pointer(&load->blocks, g_array_unref);
    ram_image_free(load->image);
    rpc_free(load->qmp);
    rpc_free(load->control);
    g_free(load);
}

/* ---- events ---- */

/* Whether the guest is to stand still for what a read error is about: somebody
 * waits for the page, or no page comes any more. */
static bool is_to_stop(const json_t *data)
{
    const char *operation =
        json_string_value(json_object_get(data, CONTROL_KEY_OPERATION));

    return json_is_true(json_object_get(data, CONTROL_KEY_WAITED_FOR)) ||
           g_strcmp0(operation, CONTROL_OPERATION_CHECKING) == 0;
}

static void on_plugin_event(const char *name, const json_t *data, void *opaque)
{
    RestoreLoad *load = opaque;

    if (strcmp(name, CONTROL_EVENT_LOADED) == 0) {
        load->is_loaded = true;
    } else if (strcmp(name, CONTROL_EVENT_READ_ERROR) == 0) {
        load->page_fails |= is_to_stop(data);
    }
}

static void on_migration(RestoreLoad *load, const json_t *data)
{
    const char *status = json_string_value(json_object_get(data, "status"));

    load->has_devices |= g_strcmp0(status, "completed") == 0;
}

static void on_qemu_event(const char *name, const json_t *data, void *opaque)
{
    RestoreLoad *load = opaque;

    if (strcmp(name, "MIGRATION") == 0) {
        on_migration(load, data);
    } else if (strcmp(name, "RESUME") == 0) {
        load->runs = true;
        load->has_run = true;
        load->is_resumed = load->has_stopped;
    } else if (strcmp(name, "STOP") == 0) {
        load->runs = false;
    } else if (strcmp(name, "SHUTDOWN") == 0) {
        load->ends = true;
    }
}

/* ---- before anything is lost ---- */

static bool read_image(RestoreLoad *load, GError **error)
{
    ByteSource *source = byte_source_new_fd(restore_swap_image(load->swap),
                                            load->job->image_path, error);
    uint64_t off_bytes;

    if (!source || !libvirt_image_find(source, &off_bytes, error)) {
        byte_source_free(source);
        return false;
    }
    load->image = ram_image_open_source(source, off_bytes, error);
    return load->image != NULL;
}

static bool send_load(RestoreLoad *load, const RestoreOrder *order,
                      uint64_t *ret_id, GError **error)
{
    const char *path = load->job->image_path;
    const LoadOptions options = {
        .given_snapshot = path,
        .snapshot = path,
        .image_off_bytes = load->image->image_off_bytes,
        .order = order->is_there ? order->path : NULL,
        .learn = order->learns,
        .record = order->is_there ? NULL : order->path,
        .record_ms = OBSERVE_MS,
        .policy = LOAD_POLICY_ORDER,
        .start_us = g_get_monotonic_time(),
    };

    const LoadFiles files = {.snapshot = restore_swap_image(load->swap),
                             .template = -1};

    return load_command_send(load->control, &options, &files,
                             load->image->ram_bytes, ret_id, error);
}

/* The plugin begins to read the order's pages. */
static bool begin_reading(RestoreLoad *load, uint64_t *ret_id, GError **error)
{
    RestoreOrder order;

    restore_order_find(load->job->image_path, load->job->order_folder,
                       load->image->identity, &order);
    if (order.warning) {
        load->job->say(order.warning);
    }
    bool ok = send_load(load, &order, ret_id, error);
    restore_order_clear(&order);
    return ok;
}

static bool await_reading(RestoreLoad *load, uint64_t id, GError **error)
{
    json_t *answer;

    if (!rpc_receive(load->control, id, &answer, error)) {
        return false;
    }
    const char *warning =
        json_string_value(json_object_get(answer, CONTROL_KEY_WARNING));
    if (warning) {
        load->job->say(warning);
    }
    json_decref(answer);
    return true;
}

static bool check_machine(RestoreLoad *load, GError **error)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);

    load->blocks = ram_blocks_query(load->qmp, error);
    if (!load->blocks ||
        !machine_check_blocks(load->image, load->blocks, LOAD_POLICY_ORDER,
                              warnings, error)) {
        return false;
    }
    load->watch = machine_watch_new(getpid(), load->blocks);
    bool ok = machine_check_devices(load->qmp, getpid(), load->blocks, warnings,
                                    error);
    for (guint i = 0; i < warnings->len; i++) {
        load->job->say(warnings->pdata[i]);
    }
    return ok;
}

static bool tell(RestoreLoad *load, Milestone milestone, GError **error)
{
    return rpc_execute(load->control, CONTROL_CMD_MILESTONE,
                       json_pack("{s:s, s:I}", CONTROL_KEY_NAME,
                                 milestone_name(milestone), CONTROL_KEY_TIME_US,
                                 (json_int_t)g_get_monotonic_time()),
                       NULL, error);
}

/* ---- guest RAM ---- */

static json_t *lazy_block_list(const RestoreLoad *load, const bool *lazy)
{
    json_t *list = json_array();

    for (size_t i = 0; i < load->image->n_blocks; i++) {
        if (lazy[i]) {
            json_array_append_new(
                list, ram_block_to_json(ram_blocks_find(
                          load->blocks, load->image->blocks[i].name)));
        }
    }
    return list;
}

static bool take_over(RestoreLoad *load, GError **error)
{
    g_autofree bool *lazy = machine_lazy_blocks(load->image, load->blocks);
    json_t *threads;

    return skeleton_write(load->image, lazy, restore_swap_skeleton(load->swap),
                          error) &&
           qmp_vcpu_threads(load->qmp, &threads, error) &&
           rpc_execute(load->control, CONTROL_CMD_ATTACH,
                       json_pack("{s:o, s:o}", CONTROL_KEY_BLOCKS,
                                 lazy_block_list(load, lazy),
                                 CONTROL_KEY_VCPU_THREADS, threads),
                       NULL, error);
}

static bool load_image(RestoreLoad *load, GError **error)
{
    uint64_t id;

    if (!begin_reading(load, &id, error)) {
        return false;
    }
    bool ok = qmp_handshake(load->qmp, -1, NULL, error) &&
              await_reading(load, id, error) && check_machine(load, error) &&
              tell(load, MILESTONE_QEMU_READY, error) && take_over(load, error);
    if (!ok) {
        /* Fails where "load" has: then there is nothing to give up. */
        (void)rpc_execute(load->control, CONTROL_CMD_ABANDON, NULL, NULL, NULL);
    }
    return ok;
}

RestoreLoad *restore_load_begin(const RestoreJob *job, RestoreSwap *swap,
                                GError **error)
{
    RestoreLoad *load = g_new0(RestoreLoad, 1);

    load->job = job;
    load->swap = swap;
    load->control = plugin_client_new(job->control_fd);
    load->qmp = qmp_new(restore_swap_steal_monitor(swap));
    rpc_set_companion(load->qmp, load->control);
    rpc_set_companion(load->control, load->qmp);
    rpc_on_event(load->control, on_plugin_event, load);
    rpc_on_event(load->qmp, on_qemu_event, load);
    if (plugin_client_greeting(load->control, NULL, error) &&
        read_image(load, error) && load_image(load, error)) {
        return load;
    }
    free_load(load);
    return NULL;
}

/* ---- the load goes on ---- */

/* What is found wrong in the memory of a guest that runs by then may be its own
 * doing.  QEMU tells that it resumes before it does. */
static void tell_devices(RestoreLoad *load)
{
    g_autoptr(GError) error = NULL;
    uint64_t id;

    load->told_devices = true;
    restore_swap_drop_skeleton(load->swap);
    if (tell(load, MILESTONE_DEVICE_STATE, &error)) {
        return;
    }
    (void)rpc_pump(load->qmp, 0, NULL);
    if (!load->has_run) {
        load->job->say(error->message);
        (void)rpc_send(load->control, CONTROL_CMD_QUIT, NULL, &id, NULL);
    }
}

/* Nobody waits for the answers: QEMU may be blocked on guest RAM itself. */
static void send_qemu(RestoreLoad *load, const char *command)
{
    uint64_t id;

    if (!load->ends) {
        (void)rpc_send(load->qmp, command, NULL, &id, NULL);
    }
}

/* As QEMU does with a disk's error: the guest stands still, and whoever lets
 * it run on has the page tried again. */
static void attend_failure(RestoreLoad *load)
{
    uint64_t id;

    if (load->page_fails) {
        load->page_fails = false;
        load->is_resumed = false;
        load->has_stopped = true;
        send_qemu(load, "stop");
    } else if (load->is_resumed) {
        load->is_resumed = false;
        (void)rpc_send(load->control, CONTROL_CMD_RETRY, NULL, &id, NULL);
    }
}

/* Somebody will be able to touch pages that are not there yet, once the guest
 * has started that device: it is stopped until every page is loaded. */
static void load_at_once(RestoreLoad *load, const char *found)
{
    g_autofree char *text = g_strdup_printf(
        "%s.  The guest is stopped until the rest is loaded", found);
    bool was_running = load->runs;

    load->job->say(text);
    if ((!was_running || rpc_execute(load->qmp, "stop", NULL, NULL, NULL)) &&
        rpc_execute(load->control, CONTROL_CMD_LOAD_REST, NULL, NULL, NULL) &&
        rpc_execute(
            load->control, CONTROL_CMD_WAIT,
            json_pack("{s:s}", CONTROL_KEY_FOR, load_goal_name(LOAD_GOAL_ALL)),
            NULL, NULL) &&
        was_running) {
        send_qemu(load, "cont");
    }
}

static void look_who_came(RestoreLoad *load)
{
    g_autofree char *found = NULL;

    if (machine_watch_look(load->watch, load->qmp, &found, NULL) && found) {
        load_at_once(load, found);
    }
}

static void attend(RestoreLoad *load)
{
    if (load->has_devices && !load->told_devices) {
        tell_devices(load);
    }
    if (load->has_run && !load->told_resumed) {
        load->told_resumed = true;
        (void)tell(load, MILESTONE_RESUMED, NULL);
    }
    attend_failure(load);
    if (load->watch && !load->is_loaded && !load->ends) {
        look_who_came(load);
    }
}

static bool is_through(const RestoreLoad *load)
{
    return load->is_loaded && load->told_devices && load->told_resumed;
}

void restore_load_attend(RestoreLoad *load)
{
    while (!is_through(load) && !rpc_is_closed(load->qmp)) {
        bool watches = load->watch && !load->is_loaded;

        (void)rpc_pump(load->qmp, watches ? WATCH_POLL_MS : -1, NULL);
        attend(load);
    }
    free_load(load);
}
