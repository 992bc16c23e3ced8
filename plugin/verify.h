/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Compare memory of this process with a snapshot, page by page.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/ram-image.h"
#include "plugin/pager/pager.h"

typedef struct VerifyResult {
    uint64_t n_pages;     /* compared */
    uint64_t n_differing; /* the fields below: only if not 0 */
    const char *block;    /* the snapshot's string */
    uint64_t page;        /* the first that differs, in the snapshot's pages */
    uint64_t page_bytes;
    uint64_t byte; /* the first that differs, counted in the page */
} VerifyResult;

/*
 * Compare the ranges, each with the snapshot's block of its name.  Touches
 * every page: what is not loaded yet is loaded by it.  The memory must not
 * change meanwhile.
 *
 * Returns false with PAGER_ERROR when it cannot be compared; differing is no
 * error.
 */
bool verify_ram(const RamImage *snapshot, const PagerRange *ranges,
                size_t n_ranges, VerifyResult *ret_result, GError **error);
