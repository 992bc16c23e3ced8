/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sizes and times as people write and read them.  K, M, G and T are powers of
 * 1024, as in QEMU's options.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

/* "4096", "64K", "1G", "1GiB", also in small letters.  UTIL_ERROR_USAGE for
 * anything else, and for what does not fit in 64 bits. */
bool units_parse_size(const char *text, uint64_t *ret_bytes, GError **error);

/* "1.5s", "250ms" or "40us", of up to 63 bits.  UTIL_ERROR_USAGE for anything
 * else. */
bool units_parse_time(const char *text, uint64_t *ret_us, GError **error);

/* For people, "1.5 GiB"; exact where that is short, else with one decimal.
 * For g_free(). */
char *units_format_size(uint64_t bytes);

/* The same, never rounded: "1280 MiB", "0".  For g_free(). */
char *units_format_exact(uint64_t bytes);

/* As an option of QEMU takes it, exact: "1536M".  For g_free(). */
char *units_format_option(uint64_t bytes);
