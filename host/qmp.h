/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's machine protocol: the handshake, and the commands that more than one
 * subcommand needs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "host/rpc.h"

typedef struct QmpVersion {
    int major;
    int minor;
} QmpVersion;

/* Take over fd, the socket of a QMP monitor; nothing is sent yet. */
Rpc *qmp_new(int fd);

/* Read the greeting and leave the negotiation mode.  ret_version may be
 * NULL. */
bool qmp_handshake(Rpc *qmp, int timeout_ms, QmpVersion *ret_version,
                   GError **error);

/* Connect to the monitor at path and shake hands.  ret_version may be NULL. */
Rpc *qmp_connect(const char *path, QmpVersion *ret_version, GError **error);

/* What the human monitor answers to line, for g_free(). */
bool qmp_human(Rpc *qmp, const char *line, char **ret_text, GError **error);

/* See rpc_ask_ahead(). */
bool qmp_human_ask_ahead(Rpc *qmp, const char *line, GError **error);

/* The machine's state as query-status has it ("paused"), for g_free(). */
bool qmp_run_state(Rpc *qmp, char **ret_state, GError **error);

/* The threads that run the vCPUs, by vCPU index: a list of thread IDs, a new
 * reference. */
bool qmp_vcpu_threads(Rpc *qmp, json_t **ret_threads, GError **error);

/* Give QEMU a duplicate of fd, in an fd set of its own.  So that no file name
 * is looked up or parsed over there.  opaque: what QEMU keeps with it, and
 * shows to who asks (query-fdsets); NULL: nothing. */
bool qmp_add_fd(Rpc *qmp, int fd, const char *opaque, int64_t *ret_set,
                GError **error);

/* Have QEMU close it, once nothing over there uses it any more. */
bool qmp_remove_fd(Rpc *qmp, int64_t set, GError **error);

/* The migration URI of the image off_bytes into the file of an fd set, for
 * g_free(). */
char *qmp_fd_uri(int64_t set, uint64_t off_bytes);
