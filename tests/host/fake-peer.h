/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The other end of QMP or of the control protocol, in a thread of the test.
 */
#pragma once

#include <jansson.h>

#include "host/rpc.h"

typedef struct FakePeer FakePeer;

/* Answer a command: the value of its "return"; or NULL, and ret_refusal (a
 * constant) says why.  Called in the peer's thread. */
typedef json_t *FakeAnswer(FakePeer *peer, const char *command,
                           const json_t *arguments, const char **ret_refusal,
                           void *opaque);

/* Start it on fd.  greeting: its first message; stolen; NULL: says nothing by
 * itself. */
FakePeer *fake_peer_new(int fd, json_t *greeting, FakeAnswer *answer,
                        void *opaque);

/* The same with QMP's greeting, of QEMU 10.0, on the other end of ret_fd. */
FakePeer *fake_peer_new_qmp(FakeAnswer *answer, void *opaque, int *ret_fd);

/* The same, and connect to it. */
Rpc *fake_peer_connect_qmp(FakeAnswer *answer, void *opaque,
                           FakePeer **ret_peer);

/* Send an event; steals data, which may be NULL.  Any thread. */
void fake_peer_event(FakePeer *peer, const char *name, json_t *data);

/* Hang up.  Any thread. */
void fake_peer_close(FakePeer *peer);

/* Say no more; what comes is still taken in.  Any thread. */
void fake_peer_close_output(FakePeer *peer);

/* The commands so far, with blanks between them.  For g_free(). */
char *fake_peer_log(FakePeer *peer);

/* The i-th descriptor that came, of all; owned by the peer.  -1: not so many
 * have.  Any thread. */
int fake_peer_fd(FakePeer *peer, unsigned i);

/* Wait until n commands of that name have been answered. */
void fake_peer_await(FakePeer *peer, const char *command, unsigned n);

/* Hang up and end the thread. */
void fake_peer_free(FakePeer *peer);
