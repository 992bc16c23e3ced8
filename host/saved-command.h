/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's command line for one load of a machine, made from its manifest.
 *
 * It is the saved one, except for what belongs to that machine alone:
 * each disk that the guest can write to opens a new overlay on the image that
 * belongs to the snapshot; sockets, pid file, logs and files that QEMU writes
 * are in this load's directory.  Ports and network interfaces cannot be placed:
 * they stay as they were, and one that is taken is refused.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/manifest.h"
#include "host/saved-build.h"

typedef struct SavedCommand SavedCommand;

/* Check the disks, make the overlays and the arguments.  Both must outlive it.
 *  UTIL_ERROR_USAGE for a set that names nothing. */
SavedCommand *saved_command_new(const Manifest *manifest,
                                const SavedCommandOptions *options,
                                GError **error);

/* Program and arguments, owned by command. */
char **saved_command_argv(const SavedCommand *command);

/* Go to the directory that the paths in the arguments count from. */
void saved_command_enter(const SavedCommand *command);

/* The load has ended.  was_loaded: the guest may have run; otherwise nothing
 * is kept.  NULL is fine. */
void saved_command_free(SavedCommand *command, bool was_loaded);
