/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/guest-load.h"

#include <string.h>

#include "formats/control-protocol.h"
#include "host/guest-load-check.h"
#include "host/guest-load-fill.h"
#include "host/guest-load-state.h"
#include "host/incoming.h"
#include "util/error.h"

/* How often to look whether somebody has come to reach guest RAM: a guest takes
 * longer to find a device that was plugged in, and to start it. */
#define WATCH_POLL_MS 100

static void on_plugin_event(const char *name, const json_t *data, void *opaque)
{
    GuestLoad *load = opaque;

    if (strcmp(name, CONTROL_EVENT_LOADED) == 0) {
        guest_load_set_loaded(load, data);
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
        guest_load_say(load, "warning: %s", warning);
    }
    json_decref(answer);
    return true;
}

static bool await_qemu(GuestLoad *load, GError **error)
{
    return machine_await(load->machine, error) &&
           guest_load_set_ready(load, error) &&
           ((load_image_is_large(&load->image) && !load->full) ||
            take_answer(load, error));
}

/* The plugin has the load, or gets it now that the machine is known. */
static bool have_begun(GuestLoad *load, GError **error)
{
    uint64_t max_ram_bytes = load->blocks ? guest_load_machine_ram(load)
                                          : LOAD_IMAGE_EARLY_RAM_BYTES;

    return load->begun || (send_command(load, max_ram_bytes, error) &&
                           take_answer(load, error));
}

/* A machine that is refused is ended, and what the plugin has done to its RAM
 * by then is of no account: so the plugin need not wait for QEMU to tell of its
 * devices. */
bool guest_load_run(GuestLoad *load, GError **error)
{
    return guest_load_open_image(load, error) && await_qemu(load, error) &&
           guest_load_check_ram(load, error) && have_begun(load, error) &&
           guest_load_begin(load, error) &&
           guest_load_check_devices(load, error) &&
           guest_load_revert_disks(load, error) &&
           guest_load_complete(load, error);
}

bool guest_load_prepare(GuestLoad *load, GError **error)
{
    return guest_load_open_image(load, error) &&
           machine_await(load->machine, error) &&
           guest_load_set_ready(load, error) &&
           guest_load_check_ram(load, error) &&
           guest_load_check_devices(load, error);
}

/* Somebody may have used QEMU's other monitors: what was asked ahead is not to
 * be relied on. */
bool guest_load_run_prepared(GuestLoad *load, GError **error)
{
    load->ready_us = g_get_monotonic_time();
    rpc_forget_ahead(machine_qmp(load->machine));
    return incoming_check_deferred(load->machine, error) &&
           have_begun(load, error) && guest_load_check_unchanged(load, error) &&
           guest_load_revert_disks(load, error) &&
           guest_load_begin(load, error) && guest_load_complete(load, error);
}

/* What can be refused is refused before the plugin takes the load, since there
 * is but one.  QEMU is not to run the guest by itself as soon as the device
 * state is there: of one that waits, "stop" asks just that. */
bool guest_load_run_adopted(GuestLoad *load, Machine *machine, GError **error)
{
    guest_load_set_machine(load, machine);
    return guest_load_set_ready(load, error) &&
           incoming_check_deferred(machine, error) &&
           guest_load_open_image(load, error) &&
           guest_load_check_ram(load, error) &&
           guest_load_check_devices(load, error) &&
           guest_load_revert_disks(load, error) && have_begun(load, error) &&
           rpc_execute(machine_qmp(machine), "stop", NULL, NULL, error) &&
           guest_load_begin(load, error) && guest_load_complete(load, error);
}

bool guest_load_has_begun(const GuestLoad *load)
{
    return load->begun;
}

bool guest_load_was_handed_over(const GuestLoad *load)
{
    return load->handed_over;
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

    guest_load_say(
        load, "warning: %s.  The guest is stopped until the rest is loaded",
        found);
    machine_ignore_interrupts(load->machine, true);
    ok = (!was_running || rpc_execute(qmp, "stop", NULL, NULL, &error)) &&
         load_the_rest(load, &error) &&
         (!was_running || rpc_execute(qmp, "cont", NULL, NULL, &error));
    if (!ok && !machine_ends(load->machine)) {
        guest_load_say(
            load,
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
