/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Commands, answers and events over JSON lines, in the style of QMP, which the
 * control protocol shares.  One thread uses an Rpc and its companion.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>
#include <jansson.h>

typedef struct Rpc Rpc;

/* data is borrowed, and NULL where the event has none. */
typedef void (*RpcEventFunc)(const char *name, const json_t *data,
                             void *opaque);

/* Takes over fd.  peer names the other side in messages: "QEMU". */
Rpc *rpc_new(int fd, size_t max_line_bytes, const char *peer);

/* NULL is fine. */
void rpc_free(Rpc *rpc);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rpc, rpc_free)

/* The socket, still owned by rpc. */
int rpc_fd(const Rpc *rpc);

/* As json_line_note_sender() and json_line_sender(). */
void rpc_note_sender(Rpc *rpc);
pid_t rpc_sender(const Rpc *rpc);

/* Whether the connection has ended, by the peer or by an error. */
bool rpc_is_closed(const Rpc *rpc);

/* Call func for each event, from within the functions that wait.  func may
 * send commands, but not wait. */
void rpc_on_event(Rpc *rpc, RpcEventFunc func, void *opaque);

/* While rpc waits, also read what companion sends (NULL: stop that), so
 * that its events are not delayed.  Not owned. */
void rpc_set_companion(Rpc *rpc, Rpc *companion);

/* While rpc waits, end with UTIL_ERROR_INTERRUPTED when fd becomes readable
 * (-1: stop that).  Not owned. */
void rpc_set_interrupt_fd(Rpc *rpc, int fd);

/* End the wait that is under way, or else the next one, with a copy of error:
 * what is waited for will not come.  An RpcEventFunc may call it, for this rpc
 * or its companion. */
void rpc_end_wait(Rpc *rpc, const GError *error);

/* How long rpc_receive() waits for an answer before it is UTIL_ERROR_TIMEOUT
 * (-1: forever, the default). */
void rpc_set_answer_timeout(Rpc *rpc, int timeout_ms);

/* Read what has come; wait for it at most timeout_ms (-1: forever).
 * Returns false with the reason when the connection has ended. */
bool rpc_pump(Rpc *rpc, int timeout_ms, GError **error);

/* The greeting's member key, a new reference. */
bool rpc_greeting(Rpc *rpc, const char *key, int timeout_ms, json_t **ret_value,
                  GError **error);

/* Send a command; steals arguments, which may be NULL.  If you want
 * the answer, rpc_receive() returns answers in the sequence of sending. */
bool rpc_send(Rpc *rpc, const char *command, json_t *arguments,
              uint64_t *ret_id, GError **error);

/* The same with n_fds descriptors, at most JSON_LINE_MAX_FDS, which stay the
 * caller's. */
bool rpc_send_fds(Rpc *rpc, const char *command, json_t *arguments,
                  const int *fds, size_t n_fds, uint64_t *ret_id,
                  GError **error);

/* Wait for the answer to command id; answers to earlier commands, but those
 * asked ahead, and to a client before us, are dropped.  ret_value (may be
 * NULL): the answer's "return", a new reference.  An error answer is
 * UTIL_ERROR_REFUSED; what is no answer at all, UTIL_ERROR_PROTOCOL. */
bool rpc_receive(Rpc *rpc, uint64_t id, json_t **ret_value, GError **error);

/* Whether an answer has come that nobody has received yet. */
bool rpc_has_answer(const Rpc *rpc);

/* Send a command whose answer is wanted later: by the next rpc_execute() of the
 * same command with equal arguments, which does not send it again.  Several
 * questions then cost the time of one; and what is asked ahead twice is sent
 * once, and answers the next two.  Steals arguments. */
bool rpc_ask_ahead(Rpc *rpc, const char *command, json_t *arguments,
                   GError **error);

/* Do without the answers that nobody has wanted so far: the peer may not be
 * what it was. */
void rpc_forget_ahead(Rpc *rpc);

/* Send and receive; arguments and ret_value as above. */
bool rpc_execute(Rpc *rpc, const char *command, json_t *arguments,
                 json_t **ret_value, GError **error);
bool rpc_execute_fds(Rpc *rpc, const char *command, json_t *arguments,
                     const int *fds, size_t n_fds, json_t **ret_value,
                     GError **error);
