/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Read a snapshot's pages into the page cache, in the sequence in which a load
 * would read them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "host/progress.h"

typedef struct PrefetchResult {
    uint64_t n_pages; /* that were wanted, and are in the file */
    uint64_t n_bytes; /* that were read for them */
    uint64_t us;
} PrefetchResult;

/*
 * Read the pages of order or, where that is NULL, all pages.  What lies
 * between two of them, up to READ_AHEAD_MAX_HOLE_BYTES, is read as well, as a
 * load does.  max_rate: bytes a second, 0: as fast as it goes.  progress may be
 * NULL.
 */
bool prefetch_run(const RamImage *image, const PageOrder *order,
                  uint64_t max_rate, const Progress *progress,
                  PrefetchResult *ret_result, GError **error);
