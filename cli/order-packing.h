/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Makes an order's pack: its pages, as they are in a snapshot.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"
#include "host/progress.h"

typedef struct PackingResult {
    uint64_t n_pages; /* that are in the pack … */
    uint64_t n_bytes; /* … and their length */
    uint64_t n_chunks;
    uint64_t stored_bytes; /* what the pack takes on disk */
} PackingResult;

/* Write those pages of order that image, whose bitmaps have been read, has in
 * its file to a pack at path, phase after phase as a load replays them.  The
 * file takes its name when it is whole and on disk.  interrupt_fd: of
 * interrupts_open(); UTIL_ERROR_INTERRUPTED when a signal has come.  progress
 * may be NULL. */
bool order_packing_run(const PageOrder *order, const RamImage *image,
                       const char *path, int interrupt_fd,
                       const Progress *progress, PackingResult *ret_result,
                       GError **error);
