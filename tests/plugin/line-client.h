/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A client of the control socket that blocks until it has its answer.
 */
#pragma once

#include <stddef.h>

#include <glib.h>
#include <jansson.h>

typedef struct LineClient {
    int fd;
    GString *buffer; /* received, not yet returned */
} LineClient;

/* The pair's one end is the client's; the other, in *ret_fd, the server's. */
LineClient *line_client_new_pair(int *ret_fd);

/* Over the connected socket fd, which is taken over. */
LineClient *line_client_new(int fd);

/* Hangs up. */
void line_client_free(LineClient *client);

void line_client_send(LineClient *client, const char *bytes, size_t len_bytes);

/* The same; with the first byte go n_fds descriptors. */
void line_client_send_fds(LineClient *client, const char *bytes,
                          size_t len_bytes, const int *fds, size_t n_fds);

/* The next line, parsed: a new reference; NULL when the server hung up. */
json_t *line_client_read(LineClient *client);

/* The next line must be an event called name; returns its data. */
json_t *line_client_read_event(LineClient *client, const char *name);

/* Send the line and return its answer; events in between are dropped. */
json_t *line_client_call(LineClient *client, const char *line);
