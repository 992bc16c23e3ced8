/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file that will be written later: its directory is opened when the command
 * comes, and the file is written there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

#include "formats/byte-source.h"
#include "formats/page-order.h"

typedef struct Destination Destination;

/* See file_place_open(); here and below, errors begin with the path. */
Destination *destination_open(const char *path, GError **error);

/* NULL is fine. */
void destination_free(Destination *destination);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Destination, destination_free)

/* As it was given. */
const char *destination_path(const Destination *destination);

/* What is there now; *ret_source is NULL where nothing is. */
bool destination_read(const Destination *destination, ByteSource **ret_source,
                      GError **error);

/* See file_place_lock(). */
bool destination_lock(const Destination *destination, unsigned timeout_ms,
                      GError **error);
void destination_unlock(const Destination *destination);

/* Each as often as you like; see file_place_write(). */
bool destination_write(const Destination *destination, const void *data,
                       size_t len_bytes, GError **error);
bool destination_write_order(const Destination *destination,
                             const PageOrder *order, GError **error);
