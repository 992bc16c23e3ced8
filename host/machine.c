/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/machine.h"

#include <string.h>

struct Machine {
    Rpc *qmp;
    QmpVersion version; /* 0.0: unknown */
    bool runs;          /* the guest, by the events */
    bool sleeps;        /* likewise */
    bool ends;          /* QEMU has announced it */
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
    rpc_on_event(qmp, on_event, machine);
    return machine;
}

void machine_free(Machine *machine)
{
    if (machine) {
        rpc_free(machine->qmp);
        g_free(machine);
    }
}

Rpc *machine_qmp(const Machine *machine)
{
    return machine->qmp;
}

bool machine_handshake(Machine *machine, int timeout_ms, GError **error)
{
    return qmp_handshake(machine->qmp, timeout_ms, &machine->version, error);
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

bool machine_pump(Machine *machine, int timeout_ms, GError **error)
{
    bool ok = rpc_pump(machine->qmp, timeout_ms, error);

    while (ok && machine->ends) {
        ok = rpc_pump(machine->qmp, -1, error);
    }
    return ok;
}
