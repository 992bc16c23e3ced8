/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One load of a snapshot into a machine: the sequence until the guest runs, and
 * what has to be watched from then on.
 *
 * The plugin is told what to load (its end of the socket pair reads that as
 * soon as it exists), and the snapshot's headers are read while QEMU starts.
 * When its monitor answers, the machine is compared with the snapshot, the
 * skeleton is written into a memfd, the plugin takes over guest RAM, QEMU loads
 * the skeleton, and the guest continues.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "host/load-command.h"
#include "host/machine.h"

typedef struct GuestLoad GuestLoad;

/* Open the snapshot.  options are borrowed. */
GuestLoad *guest_load_new(const LoadOptions *options, GError **error);

/* Before the machine is freed.  NULL is fine. */
void guest_load_free(GuestLoad *load);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestLoad, guest_load_free)

/* Load into machine, which is borrowed and was only prepared so far. */
void guest_load_set_machine(GuestLoad *load, Machine *machine);

/* Tell the plugin in it what is to be loaded. */
bool guest_load_send(GuestLoad *load, GError **error);

/* QEMU has been started: go on until the guest runs. */
bool guest_load_run(GuestLoad *load, GError **error);

/* The same in two steps, where the plugin has not been told: up to where QEMU
 * can wait, with the machine compared with the snapshot … */
bool guest_load_prepare(GuestLoad *load, GError **error);

/* … and on from there.  options->start_us may be another one by then.  What has
 * changed meanwhile is refused. */
bool guest_load_run_prepared(GuestLoad *load, GError **error);

/* The same in a machine that has been adopted, which is borrowed. */
bool guest_load_run_adopted(GuestLoad *load, Machine *machine, GError **error);

/* Whether the plugin has taken the load: QEMU takes no other one. */
bool guest_load_has_begun(const GuestLoad *load);

/* Whether the guest runs, or could: its user has it, whatever comes. */
bool guest_load_was_handed_over(const GuestLoad *load);

/* Whether every page is in. */
bool guest_load_is_complete(const GuestLoad *load);

/* Whether the guest stands still because a page was missing, and is still to be
 * let go on: by guest_load_attend(). */
bool guest_load_holds_guest(const GuestLoad *load);

/* Look after what may have come up since.  Returns after how many milliseconds
 * to be called again, -1: when something has come from QEMU or the plugin. */
int guest_load_attend(GuestLoad *load);

/* We leave, and QEMU goes on: see read_errors_let_go(). */
void guest_load_let_go(GuestLoad *load);

/* Whether QEMU, asked to end since_us ago, cannot: see read_errors_block_end().
 */
bool guest_load_blocks_end(const GuestLoad *load, int64_t since_us);

/* Whether QEMU's monitor has answered. */
bool guest_load_was_answered(const GuestLoad *load);

/* Of a QEMU that has ended: whether the plugin answered before. */
bool guest_load_plugin_answered(const GuestLoad *load);
