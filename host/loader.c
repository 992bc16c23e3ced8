/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/loader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host/guest-load.h"
#include "host/machine.h"
#include "host/qmp.h"
#include "host/start-failure.h"
#include "util/error.h"

/* How often to look at a QEMU that was asked to end. */
#define ASKED_POLL_MS 250

typedef struct Loader {
    LoadOptions options; /* start_us is that of the line, once it has come */
    Machine *machine;
    GuestLoad *load;
} Loader;

static bool start_qemu(Loader *loader, GError **error)
{
    const LoadOptions *options = &loader->options;

    loader->load = guest_load_new(options, error);
    loader->machine = loader->load ? machine_prepare(error) : NULL;
    if (!loader->machine) {
        return false;
    }
    guest_load_set_machine(loader->load, loader->machine);
    return (options->start_fd > 0 || guest_load_send(loader->load, error)) &&
           machine_start(loader->machine, options->qemu_argv, options->plugin,
                         error);
}

/* Until QEMU has ended.  A signal that asks for that was passed on. */
static void stay(Loader *loader)
{
    int64_t asked_us = 0;

    while (!rpc_is_closed(machine_qmp(loader->machine))) {
        int timeout_ms = guest_load_attend(loader->load);
        int64_t now_us = g_get_monotonic_time();

        if (asked_us != 0) {
            if (guest_load_blocks_end(loader->load, now_us - asked_us)) {
                machine_end_blocked(loader->machine);
                return;
            }
            timeout_ms = ASKED_POLL_MS;
        }
        rpc_pump(machine_qmp(loader->machine), timeout_ms, NULL);
        if (machine_take_interrupt(loader->machine) != 0 && asked_us == 0) {
            asked_us = g_get_monotonic_time();
        }
    }
}

/* ---- the end ---- */

/* Why, for g_free().  What QEMU said about it is on standard error already. */
static char *explain_end(const Loader *loader, int status)
{
    g_autofree char *why = NULL;

    if (status > 128) {
        return g_strdup_printf(
            "QEMU was ended by a signal (%s) before the guest was loaded",
            g_strsignal(status - 128));
    }
    if (guest_load_was_answered(loader->load)) {
        return g_strdup_printf(
            "QEMU ended with status %d before the guest was loaded", status);
    }
    why =
        start_failure_explain(loader->options.qemu_argv, loader->options.plugin,
                              guest_load_plugin_answered(loader->load));
    return g_strdup_printf(
        "QEMU ended with status %d before its monitor answered%s%s", status,
        why ? ".  " : "", why ? why : "");
}

/* A daemon's first process ends well whatever becomes of the daemon. */
static int unloaded_status(const Loader *loader, int status, int if_daemon)
{
    return machine_is_daemon(loader->machine) && status == 0 ? if_daemon
                                                             : status;
}

/* However well it has ended, the guest is not loaded; unless it was, a moment
 * ago. */
static int end_of_ended(Loader *loader)
{
    int status = unloaded_status(loader, machine_wait(loader->machine), 1);

    if (status == 0 && guest_load_was_handed_over(loader->load)) {
        return status;
    }
    g_autofree char *reason = explain_end(loader, status);
    loader->options.say(reason);
    load_tell(&loader->options,
              (LoadNews){.kind = LOAD_NEWS_FAILED, .reason = reason});
    return status == 0 ? 1 : status;
}

/* The signal was passed on to QEMU.  No command is: see hand_over(). */
static int end_of_interrupted(Loader *loader, int signal)
{
    if (!machine_has_gone(loader->machine)) {
        machine_end_blocked(loader->machine);
    }
    return unloaded_status(loader, machine_wait(loader->machine), 128 + signal);
}

/* The load has not worked. */
static bool end(Loader *loader, GError *reason, int *ret_status, GError **error)
{
    bool is_closed = g_error_matches(reason, UTIL_ERROR, UTIL_ERROR_CLOSED);
    /* QEMU may have ended by the signal before we looked for one. */
    int signal = machine_take_interrupt(loader->machine);

    if (signal != 0) {
        *ret_status = end_of_interrupted(loader, signal);
    } else if (is_closed && machine_has_gone(loader->machine)) {
        *ret_status = end_of_ended(loader);
    } else {
        machine_end(loader->machine);
        machine_wait(loader->machine);
        g_propagate_error(error, reason);
        return false;
    }
    g_error_free(reason);
    return true;
}

/* ---- the start ---- */

/* *ret_wanted: a line has come; else the descriptor was closed. */
static bool wait_for_line(Loader *loader, bool *ret_wanted, GError **error)
{
    int fd = loader->options.start_fd;
    char text[100];
    ssize_t len;

    do {
        if (!machine_await_fd(loader->machine, fd, error)) {
            return false;
        }
        len = read(fd, text, sizeof text);
    } while ((len > 0 && !memchr(text, '\n', (size_t)len)) ||
             (len < 0 && (errno == EINTR || errno == EAGAIN)));
    if (len < 0) {
        util_error_set_errno(error, errno, "--start-fd %d: cannot read", fd);
        return false;
    }
    close(fd);
    *ret_wanted = len > 0;
    return true;
}

static bool load_when_wanted(Loader *loader, bool *ret_wanted, GError **error)
{
    if (!guest_load_prepare(loader->load, error)) {
        return false;
    }
    load_tell(&loader->options,
              (LoadNews){.kind = LOAD_NEWS_WAITING,
                         .pid = machine_pid(loader->machine)});
    if (!wait_for_line(loader, ret_wanted, error)) {
        return false;
    }
    loader->options.start_us = g_get_monotonic_time();
    return !*ret_wanted || guest_load_run_prepared(loader->load, error);
}

static bool load(Loader *loader, bool *ret_wanted, GError **error)
{
    *ret_wanted = true;
    return loader->options.start_fd > 0
               ? load_when_wanted(loader, ret_wanted, error)
               : guest_load_run(loader->load, error);
}

static bool run(Loader *loader, int *ret_status, GError **error)
{
    GError *reason = NULL;
    bool is_wanted;

    if (!start_qemu(loader, error)) {
        return false;
    }
    if (!load(loader, &is_wanted, &reason)) {
        return end(loader, reason, ret_status, error);
    }
    if (!is_wanted) {
        machine_end(loader->machine);
        machine_wait(loader->machine);
        *ret_status = LOADER_NOT_WANTED;
        return true;
    }
    if (!machine_is_daemon(loader->machine)) {
        stay(loader);
    }
    *ret_status = machine_wait(loader->machine);
    return true;
}

bool loader_run(const LoadOptions *options, int *ret_status, GError **error)
{
    Loader loader = {.options = *options};
    bool ok = run(&loader, ret_status, error);

    if (ok && *ret_status != LOADER_NOT_WANTED &&
        !machine_is_daemon(loader.machine)) {
        load_tell(&loader.options,
                  (LoadNews){.kind = LOAD_NEWS_ENDED,
                             .pid = machine_pid(loader.machine),
                             .status = *ret_status});
    }
    guest_load_free(loader.load);
    machine_free(loader.machine);
    return ok;
}
