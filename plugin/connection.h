/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One client's socket: JSON lines in both directions, and descriptors that come
 * with them.  One thread reads and answers, which may wait for the client; any
 * other may send it events, and waits for nobody.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>
#include <jansson.h>

typedef struct Connection Connection;

/* Takes over fd. */
Connection *connection_new(int fd);

/* Hangs up. */
void connection_free(Connection *connection);

/* Hang up, while others may still use the connection: the reader sees the end.
 * Any thread. */
void connection_cut(Connection *connection);

/* Send message as one line.  A client that has left so much unread that there
 * is no room for it is cut off.  Any thread, never waits. */
void connection_tell(Connection *connection, const json_t *message);

/* The same, but wait until the client has taken it.  One that takes nothing for
 * some seconds is cut off.  The reader's. */
void connection_answer(Connection *connection, const json_t *message);

/*
 * The next line, without its newline: ret_line, of *ret_len_bytes, is valid
 * until the next call.  The reader's.
 *
 * Returns false at the end of the connection; *ret_complaint is set if the
 * client has violated the protocol and is to get that answer.
 */
bool connection_read_line(Connection *connection, const char **ret_line,
                          size_t *ret_len_bytes, const char **ret_complaint);

/* The descriptors that have come and that nobody has taken: an array of int
 * from whose head to take them.  The reader's. */
GArray *connection_arrived(Connection *connection);
