/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How well a page-access order fits a snapshot.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"

typedef struct OrderFit {
    uint64_t n_pages;   /* different pages of the order; pages of the
                           snapshot's size */
    uint64_t n_in_file; /* those of them that are in the snapshot's file */
} OrderFit;

/* UTIL_ERROR_FAILED where the order belongs to another snapshot: the identity
 * (if both know it), a block or a length differs. */
bool order_fit_compare(const PageOrder *order, const RamImage *snapshot,
                       OrderFit *ret_fit, GError **error);
