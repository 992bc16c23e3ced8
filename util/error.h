/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The errors of programs that read user input and talk to other programs.
 */
#pragma once

#include <glib.h>

#define UTIL_ERROR (util_error_quark())

typedef enum {
    UTIL_ERROR_FAILED,      /* none of the others */
    UTIL_ERROR_USAGE,       /* the command line asks for what cannot be */
    UTIL_ERROR_CLOSED,      /* the peer closed the connection */
    UTIL_ERROR_PROTOCOL,    /* the peer said what the protocol does not know */
    UTIL_ERROR_REFUSED,     /* the peer answered a command with an error */
    UTIL_ERROR_TIMEOUT,     /* the peer said nothing in time */
    UTIL_ERROR_INTERRUPTED, /* a signal asks to end */
} UtilError;

GQuark util_error_quark(void);

/* UTIL_ERROR_FAILED with the text made from format, a colon and what
 * errnum (an errno) means. */
void util_error_set_errno(GError **error, int errnum, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
