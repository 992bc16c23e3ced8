/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What kind of file a file is, by how it begins: for messages about a file that
 * is not what was expected.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/byte-source.h"

typedef enum {
    FILE_KIND_UNKNOWN,
    FILE_KIND_EMPTY,
    FILE_KIND_SNAPSHOT, /* QEMU's migration stream, mapped-ram or not; also
                           behind libvirt's header */
    FILE_KIND_ORDER,
    FILE_KIND_ORDER_JSON, /* as preheat order export writes it */
    FILE_KIND_MANIFEST,
    FILE_KIND_PACK,
    FILE_KIND_QCOW2,
    FILE_KIND_DISK, /* raw, with a boot sector or a partition table */
    FILE_KIND_ELF,
    N_FILE_KINDS,
} FileKind;

/* FILE_KIND_UNKNOWN also where it cannot be read. */
FileKind file_kind_of(const ByteSource *source);

/* Refuse a file that is known to be of another kind than wanted:
 * FORMATS_ERROR_NOT_THIS begins with its name, and says what to do with it.
 * One of unknown kind passes: its reader says what is wrong with it. */
bool file_kind_expect(const ByteSource *source, FileKind wanted,
                      GError **error);

/* Refuse to write a file of kind wanted where one of another known kind is, be
 * it by mistake (FILE_KIND_UNKNOWN: ours is none of these).  Nothing there, and
 * an empty file, is fine.  The error begins with path. */
bool file_kind_check_replaceable(const char *path, FileKind wanted,
                                 GError **error);

/* The same for a file that nobody has named, since it lies beside one that
 * somebody has: what is there must be of kind wanted, or empty. */
bool file_kind_check_beside(const char *path, FileKind wanted, GError **error);
