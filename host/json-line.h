/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * JSON objects, one a line, over a stream socket: what QMP and the control
 * protocol have in common below the level of commands.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <glib.h>
#include <jansson.h>

/* So many descriptors can go with one line. */
#define JSON_LINE_MAX_FDS 8

typedef struct JsonLine JsonLine;

/* Takes over fd, a connected stream socket in blocking mode.  A line longer
 * than max_line_bytes, newline included, is an error. */
JsonLine *json_line_new(int fd, size_t max_line_bytes);

/* Closes the socket.  NULL is fine. */
void json_line_free(JsonLine *line);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonLine, json_line_free)

/* For poll(); still owned by line. */
int json_line_fd(const JsonLine *line);

/* Send message as one line; blocks until the socket has taken it, or has taken
 * nothing for half a minute (UTIL_ERROR_TIMEOUT). */
bool json_line_send(JsonLine *line, const json_t *message, GError **error);

/* The same, and with the line's first byte the n_fds descriptors fds, which
 * stay the caller's. */
bool json_line_send_fds(JsonLine *line, const json_t *message, const int *fds,
                        size_t n_fds, GError **error);

/* Read once from the socket what is there; blocks while there is nothing.
 * The end of the stream is UTIL_ERROR_CLOSED. */
bool json_line_fill(JsonLine *line, GError **error);

/* From now on have the kernel tell who sends.  The process that has sent what
 * was read last, by its ID in our PID namespace; 0: it has none there, or sent
 * that before. */
void json_line_note_sender(JsonLine *line);
pid_t json_line_sender(const JsonLine *line);

/* The next whole line that has been read: an object, a new reference; NULL
 * if there is none yet.  UTIL_ERROR_PROTOCOL for what is not a JSON object, or
 * too long. */
bool json_line_take(JsonLine *line, json_t **ret_message, GError **error);
