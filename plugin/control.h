/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The control socket: implements control-protocol.h, one thread a connection.
 */
#pragma once

#include <glib.h>
#include <jansson.h>

#include "plugin/descriptors.h"

typedef struct Control Control;

/* Carry out a command; called in its connection's thread, and may take its
 * time.  arguments: an object; it and descriptors are borrowed.  Returns a new
 * reference to what to answer, or NULL with an error. */
typedef json_t *ControlHandler(void *opaque, const char *command,
                               const json_t *arguments,
                               const Descriptors *descriptors, GError **error);

/* Called once the connection given to control_add() has ended. */
typedef void ControlHangup(void *opaque);

/* Never freed: it lives as long as the process. */
Control *control_new(ControlHandler *handler, void *opaque);

/* Listen on the abstract socket of this process.  Returns 0 or -errno. */
int control_listen(Control *control);

/* Serve the connected socket fd (taken over), whoever has its other end.
 * Returns 0 or -errno; the fd is closed then. */
int control_add(Control *control, int fd, ControlHangup *hangup);

/* Send an event to every connection; data: stolen. */
void control_send_event(Control *control, const char *event, json_t *data);
