/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a command that runs on tells the service manager that started it.
 */
#pragma once

#include <glib.h>

/* Send assignments, one a line ("READY=1"), to the socket that $NOTIFY_SOCKET
 * names; nothing where there is none.  A manager that does not read is waited
 * for for a second, and then hears nothing.  From any thread. */
void service_notify(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* The same of how it goes, in words from wherever: they become one line.  Waits
 * for nobody. */
void service_notify_status(const char *text);
