/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/attach.h"

#include "host/guest-load.h"
#include "host/machine.h"
#include "util/error.h"

/* Until all is loaded.  False: interrupted. */
static bool watch_over(GuestLoad *load, Machine *machine, GError **error)
{
    /* The page that the guest was stopped for may have been the last. */
    while ((!guest_load_is_complete(load) || guest_load_holds_guest(load)) &&
           !rpc_is_closed(machine_qmp(machine))) {
        int timeout_ms = guest_load_attend(load);
        g_autoptr(GError) local = NULL;

        if (!rpc_pump(machine_qmp(machine), timeout_ms, &local) &&
            g_error_matches(local, UTIL_ERROR, UTIL_ERROR_INTERRUPTED)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return false;
        }
    }
    return true;
}

static bool stay(GuestLoad *load, Machine *machine, const LoadOptions *options,
                 GError **error)
{
    bool ok = watch_over(load, machine, error);

    guest_load_let_go(load);
    if (ok && !guest_load_is_complete(load)) {
        load_tell(options, (LoadNews){.kind = LOAD_NEWS_ENDED,
                                      .pid = machine_pid(machine),
                                      .status = -1});
    }
    return ok;
}

static void end(Machine *machine, GError **error)
{
    pid_t pid = machine_pid(machine);

    machine_end(machine);
    if (!g_error_matches(*error, UTIL_ERROR, UTIL_ERROR_INTERRUPTED)) {
        g_prefix_error(
            error,
            "QEMU (process %d) was ended, because it had begun to load: ",
            (int)pid);
    }
}

static bool load_into(Machine *machine, const LoadOptions *options,
                      GError **error)
{
    g_autoptr(GuestLoad) load = guest_load_new(options, error);
    bool ok = load && guest_load_run_adopted(load, machine, error);

    if (ok) {
        return !options->stay || stay(load, machine, options, error);
    }
    if (load && guest_load_has_begun(load)) {
        end(machine, error);
    }
    return false;
}

bool attach_run(const LoadOptions *options, GError **error)
{
    g_autoptr(Machine) machine =
        machine_adopt(options->qmp_path, options->interrupt_fd, error);

    return machine && load_into(machine, options, error);
}
