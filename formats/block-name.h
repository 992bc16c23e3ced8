/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the name of a RAM block may be, in every file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* QEMU stores the length of a block's name in one byte. */
#define BLOCK_NAME_MAX_BYTES 255

/* Whether name is one to 255 bytes of UTF-8 without control characters, so
 * that it can be printed and be written as JSON.  QEMU's names are ASCII. */
bool block_name_is_valid(const char *name, size_t len_bytes);
