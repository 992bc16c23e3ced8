/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A control socket with commands of the test's own: "echo" answers its
 * arguments, "read" reads from what came with it, "pass" waits at a gate;
 * anything else is an error.
 */
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin/control.h"
#include "tests/plugin/line-client.h"

#define PASS_COMMAND "{\"execute\": \"pass\"}\n"

/* A server, which is never freed, and the client of its first connection. */
typedef struct World {
    Control *control;
    LineClient *client;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    unsigned n_hangups;
    bool gate_is_shut; /* "pass" waits meanwhile */
    unsigned n_at_gate;
} World;

World *world_new(void);

/* The client leaves, and the server is told. */
void world_end(World *world);

void set_gate(World *world, bool shut);

/* Wait until so many wait at the gate. */
void await_at_gate(World *world, unsigned n);

/* A ControlHangup that counts. */
void on_hangup(void *opaque);
void await_hangup(World *world);

/* A further client, which has been greeted. */
LineClient *connect_pair(World *world, ControlHangup *hangup);
void read_greeting(LineClient *client);

void send_text(World *world, const char *text);

/* Wait until so much has come that the client has not read. */
void await_unread(const LineClient *client, int n_bytes);

/* The answer is as expected, which is JSON with single quotes; steals it. */
void assert_answer(json_t *answer, const char *expected);

/* It is an error that says text; steals it. */
void assert_error(json_t *answer, const char *text);
