/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profiling commands of control-protocol.h: a profiling window right
 * after a save, and the order that it produces.
 */
#pragma once

#include <glib.h>
#include <jansson.h>

#include "plugin/descriptors.h"

typedef struct Profile Profile;

/* Never freed: it lives as long as the process.  warn: as for a Session. */
Profile *profile_new(void (*warn)(const char *text));

/* The commands; each as a ControlHandler's. */
json_t *profile_start(Profile *profile, const json_t *arguments,
                      const Descriptors *descriptors, GError **error);
json_t *profile_stop(Profile *profile, const json_t *arguments, GError **error);
json_t *profile_wait(Profile *profile, const json_t *arguments, GError **error);
json_t *profile_query(Profile *profile, const json_t *arguments,
                      GError **error);

/* QEMU ends: close the window and write its order down. */
void profile_end(Profile *profile);
