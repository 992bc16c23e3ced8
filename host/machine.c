/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/machine.h"

#include <errno.h>
#include <poll.h>
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
    bool stands;        /* likewise */
    bool sleeps;        /* likewise */
    bool ends;          /* QEMU has announced it */

    /* Of a QEMU that we have started or adopted. */
    Rpc *control; /* NULL: somebody else's QEMU */
    int qmp_fd;   /* QEMU's ends, until it has them; or -1 */
    int control_fd;
    int interrupt_fd;   /* borrowed; -1: not set */
    Launcher *launcher; /* NULL: not started, or not by us */
    bool is_adopted;
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
        machine->stands = false;
    } else if (strcmp(name, "STOP") == 0) {
        machine->runs = false;
        machine->stands = true;
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
    machine->interrupt_fd = -1;
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

bool machine_stands(const Machine *machine)
{
    return machine->stands;
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

static bool make_control(Machine *machine, GError **error)
{
    int ours;

    if (!make_pair(&ours, &machine->control_fd, error)) {
        return false;
    }
    machine->control = plugin_client_new(ours);
    rpc_set_companion(machine->qmp, machine->control);
    rpc_set_companion(machine->control, machine->qmp);
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
    return make_control(machine, error) ? g_steal_pointer(&machine) : NULL;
}

Rpc *machine_control(const Machine *machine)
{
    return machine->control;
}

/* -1: nothing interrupts, for now. */
static void wait_with(Machine *machine, int fd)
{
    rpc_set_interrupt_fd(machine->qmp, fd);
    rpc_set_interrupt_fd(machine->control, fd);
}

static void set_interrupt_fd(Machine *machine, int fd)
{
    machine->interrupt_fd = fd;
    wait_with(machine, fd);
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

/* Hand the plugin its end of our connection, over another one. */
static bool hand_in_control(Machine *machine, GError **error)
{
    g_autoptr(Rpc) listener = plugin_client_connect_peer(machine->qmp, error);
    json_t *arguments;
    bool ok;

    if (!listener) {
        return false;
    }
    rpc_set_interrupt_fd(listener, machine->interrupt_fd);
    arguments =
        json_pack("{s:[s]}", CONTROL_KEY_DESCRIPTORS, CONTROL_KEY_CONTROL);
    ok = rpc_execute_fds(listener, CONTROL_CMD_ADOPT, arguments,
                         &machine->control_fd, 1, NULL, error);
    close_theirs(machine);
    return ok && plugin_client_greeting(machine->control, &machine->pid, error);
}

Machine *machine_adopt(const char *path, int interrupt_fd, GError **error)
{
    g_autoptr(Machine) machine = NULL;
    QmpVersion version = {0, 0};
    Rpc *qmp = qmp_connect(path, &version, error);

    if (!qmp) {
        return NULL;
    }
    machine = machine_new(qmp);
    machine->version = version;
    machine->answers = true;
    machine->is_adopted = true;
    if (!make_control(machine, error)) {
        return NULL;
    }
    set_interrupt_fd(machine, interrupt_fd);
    if (!hand_in_control(machine, error)) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    return g_steal_pointer(&machine);
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

static int open_fd(const Rpc *rpc)
{
    return rpc_is_closed(rpc) ? -1 : rpc_fd(rpc);
}

bool machine_await_fd(Machine *machine, int fd, GError **error)
{
    bool has_come = false;

    while (!has_come) {
        if (!machine_pump(machine, 0, error)) {
            return false;
        }
        struct pollfd fds[] = {
            {.fd = fd, .events = POLLIN},
            {.fd = open_fd(machine->qmp), .events = POLLIN},
            {.fd = open_fd(machine->control), .events = POLLIN},
            {.fd = machine->interrupt_fd, .events = POLLIN},
        };
        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno != EINTR) {
            util_error_set_errno(error, errno, "poll");
            return false;
        }
        has_come = fds[0].revents != 0;
    }
    return true;
}

Rpc *machine_second_control(const Machine *machine)
{
    Rpc *second = plugin_client_connect(machine->pid, geteuid(), NULL);

    if (second) {
        rpc_set_companion(second, machine->control);
        rpc_set_interrupt_fd(second, machine->interrupt_fd);
    }
    return second;
}

pid_t machine_pid(const Machine *machine)
{
    return machine->pid;
}

void machine_ignore_interrupts(Machine *machine, bool ignore)
{
    if (machine->is_adopted) {
        wait_with(machine, ignore ? -1 : machine->interrupt_fd);
    }
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

    wait_with(machine, -1);
    while (!rpc_is_closed(machine->qmp) &&
           g_get_monotonic_time() < deadline_us) {
        rpc_pump(machine->qmp, END_GRACE_MS / 10, NULL);
    }
    wait_with(machine, machine->interrupt_fd);
    return rpc_is_closed(machine->qmp);
}

/* One that is adopted gets none: the plugin in it ends it when our connection
 * does. */
static void send_signal(const Machine *machine, int signal)
{
    if (machine->launcher) {
        launcher_signal(machine->launcher, signal);
    }
}

void machine_end_blocked(Machine *machine)
{
    uint64_t id;

    rpc_send(machine->control, CONTROL_CMD_QUIT, NULL, &id, NULL);
    if (!machine_has_gone(machine)) {
        send_signal(machine, SIGKILL);
    }
}

void machine_end(Machine *machine)
{
    uint64_t id;

    if (!machine->answers || !rpc_send(machine->qmp, "quit", NULL, &id, NULL)) {
        send_signal(machine, SIGTERM);
    }
    if (!machine_has_gone(machine)) {
        machine_end_blocked(machine);
    }
}

int machine_wait(Machine *machine)
{
    return launcher_wait(machine->launcher);
}
