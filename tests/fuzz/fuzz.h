/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a fuzz target offers, to driver.c or to libFuzzer.  To fuzz without
 * end: clang -fsanitize=fuzzer,address with one fuzz-*.c and all of formats/.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Takes any bytes; returns 0, or crashes where something is wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);
