/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template seen from outside (formats/template-protocol.h).
 */
#pragma once

#include <stdbool.h>

#include <glib.h>
#include <jansson.h>

#include "formats/template-protocol.h"

/* Connect to the template that listens on the socket at path, and belongs to
 * this user or root. */
bool template_client_connect(const char *path, int *ret_fd, GError **error);

/* The descriptor of the snapshot that the template at path was made from, which
 * must be the file at snapshot (called name in messages); -1 with an error. */
int template_client_snapshot(const char *path, const char *snapshot,
                             const char *name, GError **error);

/* Send TEMPLATE_STATUS, TEMPLATE_RETRY or TEMPLATE_STOP and wait for the
 * answer; *ret_answer (may be NULL) is NULL where that has no text. */
bool template_client_execute(const char *path, TemplateKind kind,
                             json_t **ret_answer, GError **error);

/*
 * Have the template at path give a machine of its pool, for for_ms at most.
 * *ret_machine, for json_decref(): see PoolEvents.give.  UTIL_ERROR_REFUSED: it
 * keeps no pool, or the machine has failed; UTIL_ERROR_TIMEOUT: there was none.
 */
bool template_client_take(const char *path, unsigned for_ms,
                          json_t **ret_machine, GError **error);
