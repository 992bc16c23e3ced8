/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What loadvm takes from the manifest beside the snapshot.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/manifest.h"
#include "host/load-command.h"
#include "host/saved-command.h"

/* The options, for a command's table of them; load: a SavedLoad *. */
/* clang-format off */
#define SAVED_LOAD_OPTIONS(load)                                              \
    {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &(load)->sets,                   \
     "Replace a socket, port or file of the saved machine",         \
     "OLD=NEW"},                                                              \
    {"keep-disks", 0, 0, G_OPTION_ARG_FILENAME, &(load)->keep_disks,          \
     "Keep the disks of this load, in this new directory", "DIR"}
/* clang-format on */

typedef struct SavedLoad {
    char **sets;      /* as they were given; NULL: none */
    char *keep_disks; /* likewise */
    Manifest *manifest;
    SavedCommandOptions options;
    SavedCommand *command;
} SavedLoad;

/* Free all that it has.  was_loaded: the guest may have run. */
void saved_load_clear(SavedLoad *load, bool was_loaded);

/* Read the manifest of the snapshot, for a load with QEMU's command line argv
 * (NULL: that is to come from the manifest; it must be there then). */
bool saved_load_open(SavedLoad *load, const char *snapshot, char *const *argv,
                     GError **error);

/* The same for a QEMU that is already running; differences are warnings. */
bool saved_load_open_beside(SavedLoad *load, const char *snapshot,
                            GError **error);

/* The path of the order that the manifest names, for g_free(); NULL: none. */
char *saved_load_order(const SavedLoad *load, const char *snapshot);

/* If the command line comes from the manifest, build it (options->tell_opaque
 * is a LoadReport, which gets a line for each resource), set options to it, and
 * change to its directory.  To be called when all other paths are
 * absolute. */
bool saved_load_prepare(SavedLoad *load, LoadOptions *options, GError **error);
