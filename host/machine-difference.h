/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What differs between the machine that was saved and the one that is to load
 * it: what QEMU would report as "Unknown savevm section", or not at all.
 *
 * Only what a guest's state depends on is compared: not the kernel, not where
 * a console leads to, not the names of files.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/manifest.h"
#include "host/load-command.h"
#include "host/rpc.h"

/* Add to differences what the command line argv (with the program) has
 * otherwise: "-smp 1 when saved, -smp 2 now". */
void machine_difference_arguments(const Manifest *saved, char *const *argv,
                                  GPtrArray *differences);

/* Add what the QEMU behind qmp says of its machine otherwise: version of the
 * machine type, CPU model, number of CPUs, accelerator. */
bool machine_difference_ask(const Manifest *saved, Rpc *qmp,
                            GPtrArray *differences, GError **error);

/* Both, for a load of the snapshot of that identity into the QEMU behind qmp;
 * each difference is a warning, too.  A manifest of another snapshot is a
 * warning, or an error where QEMU's arguments come from it. */
bool machine_difference_tell(const LoadOptions *options, const char *identity,
                             Rpc *qmp, GPtrArray *differences, GError **error);

/* Append the differences to error's text, where there are any. */
void machine_difference_explain(const GPtrArray *differences, GError **error);
