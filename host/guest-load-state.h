/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is known of a load, and what all of its steps need.  Only for the files
 * guest-load*.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#include "host/load-command.h"
#include "host/load-image.h"
#include "host/machine-watch.h"
#include "host/machine.h"
#include "host/ram-blocks.h"
#include "host/read-errors.h"

typedef struct GuestLoad {
    const LoadOptions *options;
    bool full;        /* policy full: QEMU itself loads guest RAM */
    Machine *machine; /* borrowed; NULL: not yet */
    ReadErrors *read_errors;
    uint64_t load_id; /* of the command that was sent before QEMU started */
    int64_t ready_us; /* when QEMU's monitor answered; 0: it did not */
    LoadImage image;
    GArray *blocks;
    bool *lazy; /* which of the image's blocks the plugin loads; NULL: not
                   known yet, or none */
    uint64_t attach_id;     /* of the command that was sent for them */
    GPtrArray *differences; /* from the machine that was saved, as texts */
    MachineWatch *watch;    /* or NULL */
    bool begun;             /* the plugin has taken the load */
    bool handed_over;       /* the guest runs, or could */
    bool loaded;            /* all of it */
} GuestLoad;

/* Tell the user. */
void guest_load_say(const GuestLoad *load, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

/* All of it is loaded.  stats: the plugin's, borrowed; NULL: there are none. */
void guest_load_set_loaded(GuestLoad *load, const json_t *stats);

/* How much RAM the machine has, in bytes. */
uint64_t guest_load_machine_ram(const GuestLoad *load);

/* Tell the plugin of a milestone.  For the answer see rpc_receive(). */
bool guest_load_tell_milestone(GuestLoad *load, Milestone milestone,
                               int64_t time_us, uint64_t *ret_id,
                               GError **error);

/* … that is reached now, and wait for the answer. */
bool guest_load_tell_now(GuestLoad *load, Milestone milestone, GError **error);
