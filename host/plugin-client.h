/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The client's side of the control protocol (formats/control-protocol.h).
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

#include "host/rpc.h"

/* Take over fd, a connection to the plugin that has not greeted yet; nothing is
 * read. */
Rpc *plugin_client_new(int fd);

/* Read the greeting; ret_pid (may be NULL): the process that has sent it, which
 * is QEMU's.  The greeting has an ID as well; but that is the one in QEMU's own
 * PID namespace. */
bool plugin_client_greeting(Rpc *control, pid_t *ret_pid, GError **error);

/* Connect to the plugin in the QEMU of process pid and read the greeting.
 * The listener must be that very process, and belong to us, to root or to
 * owner. */
Rpc *plugin_client_connect(pid_t pid, uid_t owner, GError **error);

/* The same for the QEMU that listens on the QMP socket at path; takes no
 * monitor away from another client. */
Rpc *plugin_client_connect_by_qmp(const char *path, GError **error);

/* The same for the QEMU at the other end of qmp. */
Rpc *plugin_client_connect_peer(const Rpc *qmp, GError **error);
