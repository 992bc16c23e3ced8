/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A QEMU that we talk to: its monitor, what the monitor's events say of its
 * state and, where we have started or adopted it, its process and the plugin in
 * it.  One thread uses a Machine.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

#include "host/qmp.h"
#include "host/rpc.h"

typedef struct Machine Machine;

/* Somebody else's QEMU.  Takes over qmp and its events.  Where somebody else
 * has shaken hands on it, the version is unknown. */
Machine *machine_new(Rpc *qmp);

/* The process has ended, or is not ours.  NULL is fine. */
void machine_free(Machine *machine);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Machine, machine_free)

/* Still owned by machine. */
Rpc *machine_qmp(const Machine *machine);

/* Whether this QEMU is known to be of that version, or a later one. */
bool machine_is_since(const Machine *machine, int major, int minor);

/* Whether the guest runs, by the events so far: false until a RESUME. */
bool machine_runs(const Machine *machine);

/* Whether the guest stands still, by the events so far: false until a STOP. */
bool machine_stands(const Machine *machine);

/* Whether the guest is suspended (S3), by the events so far. */
bool machine_sleeps(const Machine *machine);

/* Whether QEMU has announced its end, or closed the connection. */
bool machine_ends(const Machine *machine);

/*
 * Wait for something to come from QEMU, at most timeout_ms (-1: forever).
 *
 * If QEMU has announced its end (the event SHUTDOWN), this waits until it
 * closes the connection, which is UTIL_ERROR_CLOSED: so nothing more is sent to
 * it.  Up to 10.0 at least, QEMU crashes if it executes query-migrate after it
 * has given up its migration.
 */
bool machine_pump(Machine *machine, int timeout_ms, GError **error);

/* ---- a QEMU that we start, or adopt ---- */

/* Its two connections, before it exists: what is sent to the plugin is read as
 * soon as that is there. */
Machine *machine_prepare(GError **error);

/* The plugin's connection, owned by machine; NULL: not ours. */
Rpc *machine_control(const Machine *machine);

/* A second connection to the plugin, for rpc_free(); NULL if that is
 * impossible: QEMU may be in another network namespace.  While it waits, what
 * comes over the first one is read, too. */
Rpc *machine_second_control(const Machine *machine);

/* Start argv with the plugin in it, to wait for an incoming migration.  A
 * signal that asks to end is passed on, and ends whatever waits here with
 * UTIL_ERROR_INTERRUPTED until it is taken.  To be called before the process
 * has a second thread. */
bool machine_start(Machine *machine, char *const *argv, const char *plugin,
                   GError **error);

/*
 * Adopt the QEMU that listens on the QMP socket at path: somebody else has
 * started it, with the plugin in it.  We are now the launcher of the load to
 * come: once that has begun, and until the guest runs, QEMU ends when we do.
 * Otherwise it is not ours, and gets no signal.
 *
 * interrupt_fd (borrowed): what waits here ends with UTIL_ERROR_INTERRUPTED
 * while it is readable.
 */
Machine *machine_adopt(const char *path, int interrupt_fd, GError **error);

/* Wait until its monitor answers; the plugin is there before. */
bool machine_await(Machine *machine, GError **error);

/* Wait until fd can be read, or has been closed at the other end; what comes
 * from QEMU meanwhile is read. */
bool machine_await_fd(Machine *machine, int fd, GError **error);

/* QEMU's process, also when it has become a daemon; 0: not known yet. */
pid_t machine_pid(const Machine *machine);

/* For an adopted one: whether waiting ignores the interrupt fd. */
void machine_ignore_interrupts(Machine *machine, bool ignore);

/* Whether it goes on when its first process has ended (-daemonize). */
bool machine_is_daemon(const Machine *machine);

/* Take the last signal that asked to end; 0: none has come. */
int machine_take_interrupt(Machine *machine);

/* Whether QEMU has closed the connection, or does so within two seconds. */
bool machine_has_gone(Machine *machine);

/* End it, whatever it is doing; it gets time to clean up if it still can. */
void machine_end(Machine *machine);

/* The same for one that cannot: it may be blocked on guest RAM.  The plugin
 * writes down what it has. */
void machine_end_blocked(Machine *machine);

/* Wait until the process that we have started has ended; the status that a
 * shell would give. */
int machine_wait(Machine *machine);
