/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A QEMU that we speak to: its monitor, and what the monitor's events say of
 * its state.  One thread uses a Machine.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "host/qmp.h"
#include "host/rpc.h"

typedef struct Machine Machine;

/* Takes over qmp and its events.  Where somebody else has shaken hands on it,
 * the version is unknown. */
Machine *machine_new(Rpc *qmp);

/* NULL is fine. */
void machine_free(Machine *machine);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Machine, machine_free)

/* Still owned by machine. */
Rpc *machine_qmp(const Machine *machine);

/* Wait for QEMU's monitor and shake hands. */
bool machine_handshake(Machine *machine, int timeout_ms, GError **error);

/* Whether this QEMU is known to be of that version, or a later one. */
bool machine_is_since(const Machine *machine, int major, int minor);

/* Whether the guest runs, by the events so far: false until a RESUME. */
bool machine_runs(const Machine *machine);

/* Whether the guest has fallen asleep (S3), by the events so far. */
bool machine_sleeps(const Machine *machine);

/*
 * Wait for something to come from QEMU, at most timeout_ms (-1: for ever).
 *
 * A QEMU that has announced its end (the event SHUTDOWN) is waited for until
 * it hangs up, which is UTIL_ERROR_CLOSED: so it is told nothing any more.  Up
 * to 10.0 at the least it crashes when it carries out query-migrate after it
 * has given its migration up.
 */
bool machine_pump(Machine *machine, int timeout_ms, GError **error);
