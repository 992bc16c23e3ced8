/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The options that name pages of an order: by block, by addresses in a block,
 * or by guest-physical addresses.
 */
#pragma once

#include <glib.h>

#include "formats/page-order.h"

typedef struct RangeOptions {
    char **ranges; /* each NULL or a list that ends with NULL; owned */
    char **guest_ranges;
    char **maps;
} RangeOptions;

/* The options, for a command's table of them.  Names of blocks are bytes as
 * file names are: UTF-8 in the order, whatever the locale. */
/* clang-format off */
#define RANGE_OPTIONS(options)                                               \
    {"range", 'r', 0, G_OPTION_ARG_FILENAME_ARRAY, &(options)->ranges,       \
     "These pages, or all of the block (may be repeated)",                   \
     "BLOCK[:FIRST-LAST]"},                                                  \
    {"guest-range", 'g', 0, G_OPTION_ARG_STRING_ARRAY,                       \
     &(options)->guest_ranges,                                               \
     "The pages at these guest-physical addresses (may be repeated)",        \
     "FIRST-LAST"},                                                          \
    {"map", 'm', 0, G_OPTION_ARG_FILENAME_ARRAY, &(options)->maps,           \
     "The memory map for --guest-range: pc, q35, or where a block is (may be "     \
     "repeated)",                                                            \
     "MACHINE|BLOCK[:FIRST-LAST]@ADDRESS"}
/* clang-format on */

void range_options_clear(RangeOptions *options);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RangeOptions, range_options_clear)

/*
 * The pages that the options name: a GArray of PageSpan, first those of
 * --range, then those of --guest-range.  Addresses are decimal, with K, M, G
 * or T, or hexadecimal with 0x.  A range is FIRST-LAST, which the last one
 * belongs to, or FIRST+LENGTH.
 *
 * Returns NULL with UTIL_ERROR_USAGE or PROFILER_ERROR_RANGE.
 */
GArray *range_options_resolve(const RangeOptions *options,
                              const PageOrder *order, GError **error);
