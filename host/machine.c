/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/machine.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "host/launcher.h"
#include "host/plugin-client.h"
#include "host/qemu-args.h"
#include "util/error.h"

/* How long QEMU may take to end before it is helped. */
#define END_GRACE_MS 2000

struct Machine {
    Rpc *qmp;
    QmpVersion version; /* 0.0: unknown */
    bool runs;          /* the guest, by the events */
    bool sleeps;        /* likewise */
    bool ends;          /* QEMU has announced it */

    /* Of a QEMU that we start. */
    Rpc *control; /* NULL: somebody else's QEMU */
    int qmp_fd;   /* QEMU's ends, until it has them; or -1 */
    int control_fd;
    Launcher *launcher; /* NULL: not started */
    bool is_daemon;
    bool answers; /* its monitor does */
    pid_t pid;    /* 0: not known yet */
};

/* A guest's own shutdown need not be QEMU's end (-no-shutdown). */
static bool announces_end(const json_t *shutdown)
{
    const char *reason = json_string_value(json_object_get(shutdown, "reason"));

    return g_strcmp0(reason, "host-signal") == 0 ||
           g_strcmp0(reason, "host-qmp-quit") == 0;
}

static void on_event(const char *name, const json_t *data, void *opaque)
{
    Machine *machine = opaque;

    if (strcmp(name, "RESUME") == 0) {
        machine->runs = true;
    } else if (strcmp(name, "STOP") == 0) {
        machine->runs = false;
    } else if (strcmp(name, "SUSPEND") == 0) {
        machine->sleeps = true;
    } else if (strcmp(name, "WAKEUP") == 0) {
        machine->sleeps = false;
    } else if (strcmp(name, "SHUTDOWN") == 0) {
        machine->ends |= announces_end(data);
    }
}

Machine *machine_new(Rpc *qmp)
{
    Machine *machine = g_new0(Machine, 1);

    machine->qmp = qmp;
    machine->qmp_fd = -1;
    machine->control_fd = -1;
    rpc_on_event(qmp, on_event, machine);
    return machine;
}

static void close_theirs(Machine *machine)
{
    if (machine->qmp_fd >= 0) {
        close(machine->qmp_fd);
    }
    if (machine->control_fd >= 0) {
        close(machine->control_fd);
    }
    machine->qmp_fd = -1;
    machine->control_fd = -1;
}

void machine_free(Machine *machine)
{
    if (machine) {
        close_theirs(machine);
        rpc_free(machine->qmp);
        rpc_free(machine->control);
        launcher_free(machine->launcher);
        g_free(machine);
    }
}

Rpc *machine_qmp(const Machine *machine)
{
    return machine->qmp;
}

bool machine_is_since(const Machine *machine, int major, int minor)
{
    return machine->version.major > major ||
           (machine->version.major == major && machine->version.minor >= minor);
}

bool machine_runs(const Machine *machine)
{
    return machine->runs;
}

bool machine_sleeps(const Machine *machine)
{
    return machine->sleeps;
}

bool machine_ends(const Machine *machine)
{
    return machine->ends || rpc_is_closed(machine->qmp);
}

bool machine_pump(Machine *machine, int timeout_ms, GError **error)
{
    bool ok = rpc_pump(machine->qmp, timeout_ms, error);

    while (ok && machine->ends) {
        ok = rpc_pump(machine->qmp, -1, error);
    }
    return ok;
}

/* ---- start ---- */

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

Machine *machine_prepare(GError **error)
{
    g_autoptr(Machine) machine = NULL;
    int ours, theirs;

    if (!make_pair(&ours, &theirs, error)) {
        return NULL;
    }
    machine = machine_new(qmp_new(ours));
    machine->qmp_fd = theirs;
    if (!make_pair(&ours, &machine->control_fd, error)) {
        return NULL;
    }
    machine->control = plugin_client_new(ours);
    rpc_set_companion(machine->qmp, machine->control);
    rpc_set_companion(machine->control, machine->qmp);
    return g_steal_pointer(&machine);
}

Rpc *machine_control(const Machine *machine)
{
    return machine->control;
}

static void set_interrupt_fd(Machine *machine, int fd)
{
    rpc_set_interrupt_fd(machine->qmp, fd);
    rpc_set_interrupt_fd(machine->control, fd);
}

bool machine_start(Machine *machine, char *const *argv, const char *plugin,
                   GError **error)
{
    const int keep_fds[] = {machine->qmp_fd, machine->control_fd};
    g_auto(GStrv) args =
        qemu_args_for_load(argv, plugin, machine->control_fd, machine->qmp_fd);

    machine->is_daemon = qemu_args_have(argv, "-daemonize");
    machine->launcher = launcher_start(args, keep_fds, G_N_ELEMENTS(keep_fds),
                                       machine->is_daemon, error);
    close_theirs(machine);
    if (machine->launcher) {
        set_interrupt_fd(machine, launcher_interrupt_fd(machine->launcher));
    }
    return machine->launcher != NULL;
}

bool machine_await(Machine *machine, GError **error)
{
    if (!qmp_handshake(machine->qmp, -1, &machine->version, error)) {
        return false;
    }
    machine->answers = true;
    if (!plugin_client_greeting(machine->control, &machine->pid, error)) {
        return false;
    }
    /* Of a QEMU in another PID namespace, only the child can be ended. */
    (void)launcher_follow(machine->launcher, machine->pid);
    return true;
}

Rpc *machine_second_control(const Machine *machine)
{
    Rpc *second = plugin_client_connect(machine->pid, geteuid(), NULL);

    if (second) {
        rpc_set_companion(second, machine->control);
        rpc_set_interrupt_fd(second, launcher_interrupt_fd(machine->launcher));
    }
    return second;
}

pid_t machine_pid(const Machine *machine)
{
    return machine->pid;
}

bool machine_is_daemon(const Machine *machine)
{
    return machine->is_daemon;
}

int machine_take_interrupt(Machine *machine)
{
    return launcher_take_interrupt(machine->launcher);
}

/* ---- the end ---- */

bool machine_has_gone(Machine *machine)
{
    int64_t deadline_us = g_get_monotonic_time() + END_GRACE_MS * INT64_C(1000);

    set_interrupt_fd(machine, -1);
    while (!rpc_is_closed(machine->qmp) &&
           g_get_monotonic_time() < deadline_us) {
        rpc_pump(machine->qmp, END_GRACE_MS / 10, NULL);
    }
    set_interrupt_fd(machine, launcher_interrupt_fd(machine->launcher));
    return rpc_is_closed(machine->qmp);
}

void machine_end_blocked(Machine *machine)
{
    uint64_t id;

    rpc_send(machine->control, CONTROL_CMD_QUIT, NULL, &id, NULL);
    if (!machine_has_gone(machine)) {
        launcher_signal(machine->launcher, SIGKILL);
    }
}

void machine_end(Machine *machine)
{
    uint64_t id;

    if (!machine->answers || !rpc_send(machine->qmp, "quit", NULL, &id, NULL)) {
        launcher_signal(machine->launcher, SIGTERM);
    }
    if (!machine_has_gone(machine)) {
        machine_end_blocked(machine);
    }
}

int machine_wait(Machine *machine)
{
    return launcher_wait(machine->launcher);
}
