/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The commands that print a snapshot's manifest.
 */
#pragma once

#include <stdbool.h>

#include "cli/command.h"
#include "formats/manifest.h"

/* Run one: its only argument is a snapshot, or its manifest; its only option is
 * --json.  print returns the exit status. */
int manifest_command_run(const Command *command, int argc, char **argv,
                         int (*print)(const Manifest *manifest, bool json));
