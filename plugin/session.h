/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the commands of control-protocol.h do: one load in this QEMU, from
 * "load" to its statistics.
 */
#pragma once

#include <glib.h>
#include <jansson.h>

#include "plugin/control.h"

typedef struct Session Session;

/* Say something to whoever looks at QEMU's error output. */
typedef void SessionWarn(const char *text);

/* Make the guest's processors fetch their code from guest RAM again, as they
 * do after a load, instead of from QEMU's translations of it. */
typedef void SessionForgetCode(void);

/* Never freed: it lives as long as the process.  forget_code: NULL where
 * there is nothing to forget. */
Session *session_new(SessionWarn *warn, SessionForgetCode *forget_code);

/* Where events are sent to; before anything is executed. */
void session_set_control(Session *session, Control *control);

/* A ControlHandler; opaque is the Session.  Thread-safe. */
json_t *session_execute(void *opaque, const char *command,
                        const json_t *arguments, const Descriptors *descriptors,
                        GError **error);

/* A ControlHangup for the connection of who started QEMU: when reading has
 * failed, nobody is left to end this QEMU, which cannot end by itself. */
void session_launcher_gone(void *opaque);

/* QEMU ends: write down what is to be written. */
void session_end(Session *session);
