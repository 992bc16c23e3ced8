/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether orders may be worked on together, and their blocks brought to one
 * numbering.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/page-order.h"

/*
 * Whether the n orders can belong to one snapshot: no two known identities
 * differ, and blocks of one name have one length.  names[i] is what messages
 * call order i, such as its file name.
 *
 * Returns false with PROFILER_ERROR_MISMATCH, which names the first two that
 * do not match.
 */
bool orders_check_match(const PageOrder *const *orders,
                        const char *const *names, size_t n, GError **error);

/*
 * Add to joined the blocks of order that it lacks; of a block that both have
 * the greater length stays.  joined takes over the identity, too, if it has
 * none.
 *
 * Returns the index in joined of each of order's blocks, for g_free(), or
 * NULL with PROFILER_ERROR_MISMATCH if a block has another page size there.
 */
uint32_t *order_join_blocks(PageOrder *joined, const PageOrder *order,
                            GError **error);
