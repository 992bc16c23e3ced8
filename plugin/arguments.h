/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The arguments of the control protocol's commands.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>
#include <jansson.h>

#include "formats/ram-image.h"
#include "plugin/descriptors.h"

typedef enum {
    ARGUMENT_STRING, /* to a const char *, borrowed */
    ARGUMENT_COUNT,  /* a whole number from 0 on, to a uint64_t */
    ARGUMENT_MS,     /* the same for milliseconds: at most 30 days */
    ARGUMENT_ANY,    /* to a json_t *, borrowed */
} ArgumentType;

typedef struct Argument {
    const char *name; /* NULL ends a list */
    ArgumentType type;
    bool required;
    void *value; /* set only if the argument is there */
} Argument;

/* Take the arguments that are known; others are an error, as is a missing or
 * mistyped one.  Returns false with PAGER_ERROR_STATE. */
bool arguments_parse(const json_t *arguments, const Argument *known,
                     GError **error);

/* The guest's RAM, the list "blocks", as a GArray of PagerRange whose names
 * are borrowed; NULL with PAGER_ERROR_STATE. */
GArray *arguments_ranges(const json_t *arguments, GError **error);

/* The same, and the thread IDs of the guest's vCPUs, the list "vcpu-threads",
 * as a GArray of uint32_t. */
bool arguments_guest(const json_t *arguments, GArray **ret_ranges,
                     GArray **ret_threads, GError **error);

/* Which snapshot; strings are borrowed from the arguments. */
typedef struct SnapshotArguments {
    const char *path;
    const char *tag; /* NULL: a file of its own; else a snapshot in a qcow2 */
    uint64_t off_bytes;
} SnapshotArguments;

/* The snapshot in the descriptor "snapshot", the only one that may have come.
 * Where none has, it is opened by its path, as this process sees it.  Returns
 * NULL with PAGER_ERROR, FORMATS_ERROR or UTIL_ERROR. */
RamImage *arguments_snapshot(const SnapshotArguments *given,
                             const Descriptors *descriptors, GError **error);
