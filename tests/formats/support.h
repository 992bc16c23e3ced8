/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the tests of formats/ share.
 */
#pragma once

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/error.h"
#include "formats/page-order.h"

/* error is set, has the code, and its message contains text; frees it. */
void assert_error(GError *error, FormatsError code, const char *text);

/* The same of an error of util/: UTIL_ERROR_FAILED. */
void assert_util_error(GError *error, const char *text);

/* error is not set; fails with its message. */
void assert_no_error(const GError *error);

/* Two blocks, seven extents: every field with and without its default, times
 * that go back, and pages that do. */
PageOrder *sample_order(void);
