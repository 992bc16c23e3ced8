/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Several orders that a command works on together.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "formats/page-order.h"

/*
 * Read the n order files at paths: a GPtrArray of PageOrder that owns them.
 * Without force they are to belong to one snapshot.
 *
 * Returns NULL with FORMATS_ERROR or PROFILER_ERROR_MISMATCH.
 */
GPtrArray *order_set_load(char *const *paths, size_t n, bool force,
                          GError **error);
