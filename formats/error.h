/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The errors of everything that reads or writes file formats.
 */
#pragma once

#include <glib.h>

#define FORMATS_ERROR (formats_error_quark())

typedef enum {
    FORMATS_ERROR_IO,          /* open, read, write, rename failed */
    FORMATS_ERROR_NOT_THIS,    /* another kind of file: wrong magic */
    FORMATS_ERROR_VERSION,     /* this kind, but a version not known */
    FORMATS_ERROR_TRUNCATED,   /* ends before it should: torn */
    FORMATS_ERROR_CHECKSUM,    /* whole, but not what was written */
    FORMATS_ERROR_MALFORMED,   /* contradicts itself or the format */
    FORMATS_ERROR_TOO_LARGE,   /* beyond a limit, or out of memory */
    FORMATS_ERROR_UNSUPPORTED, /* valid, but nothing we can work with */
    FORMATS_ERROR_CHANGED,     /* not what it was when it was opened */
} FormatsError;

GQuark formats_error_quark(void);
