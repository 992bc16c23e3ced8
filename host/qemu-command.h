/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a QEMU command line names outside QEMU (disks, and what two machines
 * cannot share), and how to replace it.
 *
 * Source: QEMU, qemu-options.hx, util/keyval.c and chardev/char.c (the short
 * forms of -serial and the like).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

#include "formats/manifest.h"

/* One option; all strings are borrowed from the command line. */
typedef struct QemuOption {
    const char *name;  /* without dashes, "drive"; "" for a disk image that
                          stands alone */
    const char *value; /* NULL: it takes none */
    size_t argument;   /* index of value, or of the option where it has none */
} QemuOption;

/* The options of argv, which has no program: a GArray of QemuOption. */
GArray *qemu_command_options(char *const *argv);

/* The one of options whose value is that argument; NULL: none is. */
const QemuOption *qemu_command_find(const GArray *options, size_t argument);

/* The file that an option names as its disk, as it is written there: of -drive,
 * -blockdev, -hda, -cdrom, -pflash and their like.  For g_free(); NULL: it
 * names none. */
char *qemu_command_disk_file(const QemuOption *option);

/* What belongs to this machine alone: a GArray of ManifestResource, in the
 * sequence of the arguments. */
GArray *qemu_command_resources(char *const *argv);

/* argument with value, which it names, replaced by another; a comma in the
 * other is doubled where the argument needs that.  For g_free(); NULL: argument
 * does not name value. */
char *qemu_command_replace(const char *argument, const char *value,
                           const char *replacement);
