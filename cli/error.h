/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The errors of the preheat program itself.
 */
#pragma once

#include <glib.h>

#define CLI_ERROR (cli_error_quark())

typedef enum {
    CLI_ERROR_FAILED,      /* none of the others */
    CLI_ERROR_USAGE,       /* the command line asks for what cannot be */
    CLI_ERROR_CLOSED,      /* the peer closed the connection */
    CLI_ERROR_PROTOCOL,    /* the peer said what the protocol does not know */
    CLI_ERROR_REFUSED,     /* the peer answered a command with an error */
    CLI_ERROR_TIMEOUT,     /* the peer said nothing in time */
    CLI_ERROR_INTERRUPTED, /* a signal asks to end */
} CliError;

GQuark cli_error_quark(void);

/* CLI_ERROR_FAILED with the text made from format, a colon and what
 * errnum (an errno) means. */
void cli_error_set_errno(GError **error, int errnum, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
