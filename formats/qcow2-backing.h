/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which image a qcow2 image is based on.  Unlike formats/qcow2.h it accepts
 * every version and feature: only the first fields of the header are looked at.
 *
 * Source of the format: QEMU, docs/interop/qcow2.txt.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/byte-source.h"

/* ret_name: the backing file as the image calls it, for g_free(); NULL: it has
 * none, or is no qcow2 image.  FORMATS_ERROR where the header is wrong. */
bool qcow2_backing_read(const ByteSource *source, char **ret_name,
                        GError **error);
