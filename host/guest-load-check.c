/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/guest-load-check.h"

#include "host/disk-revert.h"
#include "host/image-state.h"
#include "host/machine-check.h"
#include "host/machine-difference.h"
#include "host/machine-manifest.h"
#include "host/process-info.h"
#include "host/ram-access.h"
#include "host/saved-images.h"
#include "util/error.h"

/* With policy full nothing is refused that QEMU may know better. */
static bool is_forgiven(const GuestLoad *load, GError **error)
{
    bool is_over = g_error_matches(*error, UTIL_ERROR, UTIL_ERROR_CLOSED) ||
                   g_error_matches(*error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED);

    if (!load->full || is_over) {
        return false;
    }
    guest_load_say(load, "warning: %s; QEMU itself will check it",
                   (*error)->message);
    g_clear_error(error);
    return true;
}

bool guest_load_open_image(GuestLoad *load, GError **error)
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
        !saved_images_ask_ahead(load->options, qmp, error) ||
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

bool guest_load_set_ready(GuestLoad *load, GError **error)
{
    load->ready_us = g_get_monotonic_time();
    if (!load->full && !ask_ahead(load, error)) {
        return false;
    }
    read_errors_announce(load->read_errors);
    return true;
}

static bool look_at_ram(GuestLoad *load, GError **error)
{
    load->blocks = ram_blocks_query(machine_qmp(load->machine), error);
    return load->blocks &&
           load_image_read_late(&load->image, guest_load_machine_ram(load),
                                error);
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
        guest_load_say(load, "warning: %s", (char *)warnings->pdata[i]);
    }
}

static bool tell_differences(GuestLoad *load, GError **error)
{
    return machine_difference_tell(
        load->options, load->image.snapshot->identity,
        machine_qmp(load->machine), load->differences, error);
}

bool guest_load_check_ram(GuestLoad *load, GError **error)
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

/* Whether it leaves alone what belongs to the snapshot. */
static bool check_images(const GuestLoad *load, GError **error)
{
    g_autofree char *directory = qemu_directory(load);

    return saved_images_check(load->options, load->image.snapshot->identity,
                              machine_qmp(load->machine), directory, error);
}

bool guest_load_check_devices(GuestLoad *load, GError **error)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);

    /* Of an image that was not read through there is nothing to compare. */
    if (!load->blocks || !load->image.snapshot->identity) {
        return true;
    }
    bool ok = tell_differences(load, error) && check_images(load, error) &&
              (load->full || check_access(load, warnings, error)) &&
              (!load->options->template ||
               machine_check_clonable(machine_qmp(load->machine), error));
    warn(load, warnings);
    return ok;
}

bool guest_load_revert_disks(GuestLoad *load, GError **error)
{
    const LoadOptions *options = load->options;
    g_autofree char *directory = qemu_directory(load);
    const char *qemu = options->qemu_argv ? options->qemu_argv[0] : NULL;

    return !options->tag ||
           disk_revert(machine_qmp(load->machine), options->tag,
                       load->image.files.snapshot, options->given_snapshot,
                       directory, qemu, error);
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

bool guest_load_check_unchanged(const GuestLoad *load, GError **error)
{
    return load_image_check_unchanged(&load->image, load->options, error) &&
           check_disks_unchanged(load, error);
}
