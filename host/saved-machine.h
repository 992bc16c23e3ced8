/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is saved of a machine beside its RAM: its disks, kept as they are at
 * that moment, and its manifest.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/ram-image.h"
#include "host/rpc.h"

/* What becomes of the writable disks. */
typedef enum {
    SAVE_DISKS_SNAPSHOT, /* each gets an overlay that the guest goes on in */
    SAVE_DISKS_LEAVE,    /* they stay as they are, for the user to look after */
    SAVE_DISKS_REFUSE,   /* a machine that has any is not saved */
    N_SAVE_DISKS,
} SaveDisks;

/* "snapshot", "leave", "refuse". */
const char *save_disks_name(SaveDisks disks);

/* Whether a save has made the file of that name, as an overlay for a disk. */
bool saved_machine_is_overlay(const char *name);

typedef struct SavedMachine SavedMachine;

typedef void SavedMachineSay(void *opaque, const char *text);

/* Look at the machine behind qmp, a UNIX socket.  Refuses what is to be
 * refused.  say: for what the user is to know; used until it is freed. */
SavedMachine *saved_machine_new(Rpc *qmp, SaveDisks disks, SavedMachineSay *say,
                                void *opaque, GError **error);

/* NULL is fine. */
void saved_machine_free(SavedMachine *machine);

/* The guest is stopped: keep its disks as they are now. */
bool saved_machine_freeze(SavedMachine *machine, GError **error);

/* QEMU has migrated, and the guest is still stopped: describe its disks as they
 * are now, since QEMU writes down what it has kept of them when it migrates. */
void saved_machine_note_disks(SavedMachine *machine);

/* The save has failed: let the disks be again what they were. */
bool saved_machine_thaw(SavedMachine *machine, GError **error);

/* The save is in place at path: say where the disks go on, and write the
 * manifest.  run_state: QMP's, that the user had; order: file name beside it,
 * or NULL.  A manifest that cannot be written is only a warning. */
void saved_machine_publish(SavedMachine *machine, const char *path,
                           const RamImage *image, const char *run_state,
                           const char *order);
