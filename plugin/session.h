/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the commands of control-protocol.h do: one load in this QEMU, from
 * "load" to its statistics.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>
#include <jansson.h>

#include "plugin/control.h"

typedef struct Session Session;

/* What the program around can do. */
typedef struct SessionHost {
    /* Say something to whoever looks at QEMU's error output. */
    void (*warn)(const char *text);
    /* Say it also where somebody looks later. */
    void (*say)(const char *text);
    /* Make the guest's processors fetch their code from guest RAM again, as
     * they do after a load, instead of from QEMU's translations of it.  NULL:
     * there are none. */
    void (*forget_code)(void);
    /* The kernel sends QEMU a signal when its launcher ends. */
    bool dies_with_launcher;
} SessionHost;

/* Never freed: it lives as long as the process. */
Session *session_new(const SessionHost *host);

/* Where events are sent to; before anything is executed. */
void session_set_control(Session *session, Control *control);

/* A ControlHandler; opaque is the Session.  Thread-safe. */
json_t *session_execute(void *opaque, const char *command,
                        const json_t *arguments, const Descriptors *descriptors,
                        GError **error);

/* Wait until the first "load" has opened what it needs, some seconds at the
 * most: a QEMU may give up its user and its root when it goes on. */
void session_await_opened(Session *session);

/* Nobody has started this QEMU in order to watch over a load. */
void session_without_launcher(Session *session);

/* A ControlHangup for the connection of who has: see plugin/ending.h. */
void session_launcher_gone(void *opaque);

/* QEMU ends: write down what is to be written.  opaque is the Session. */
void session_end(void *opaque);
