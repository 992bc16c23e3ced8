/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a template's clients connect to: a socket of their user's alone.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

/* Listen at path; returns the descriptor.  The socket is there once one can
 * connect to it.  One that nobody listens on any more is in nobody's way.
 * Returns -1 with UTIL_ERROR. */
int template_socket_listen(const char *path, GError **error);

/* Whether our user, or root, is at the other end of fd. */
bool template_socket_is_ours(int fd);
