/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sorting of very many items by a number.  Orders of millions of extents take
 * GLib's and libc's sorts half a minute, this one a second.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

typedef uint64_t (*RadixKey)(const void *item);

/* Sort n items of item_bytes each by key, ascending; stable, so that several
 * keys are sorted by one after the other, the most significant one last. */
void radix_sort(void *items, size_t n, size_t item_bytes, RadixKey key);

/* The same for all items of array. */
void radix_sort_array(GArray *array, RadixKey key);
