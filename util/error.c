/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/error.h"

#include <stdarg.h>

GQuark util_error_quark(void)
{
    return g_quark_from_static_string("preheat-util-error-quark");
}

void util_error_set_errno(GError **error, int errnum, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "%s: %s", text,
                g_strerror(errnum));
}
