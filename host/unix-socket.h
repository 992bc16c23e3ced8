/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * UNIX sockets, and which process is at the other end.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include <glib.h>

/* Connect to the socket file at path.  Who listens there may let others wait,
 * but not for longer than patience_ms, which is not 0. */
bool unix_socket_connect(const char *path, unsigned patience_ms, int *ret_fd,
                         GError **error);

/* The same to one that takes whole messages (SOCK_SEQPACKET). */
bool unix_socket_connect_packets(const char *path, unsigned patience_ms,
                                 int *ret_fd, GError **error);

/* The same to the abstract socket called name (without the leading NUL). */
bool unix_socket_connect_abstract(const char *name, unsigned patience_ms,
                                  int *ret_fd, GError **error);

/* The process that was listening when fd was connected. */
bool unix_socket_peer(int fd, struct ucred *ret_peer, GError **error);
