/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Tests that run for anonymous and for shared memory, where there is
 * userfaultfd.
 */
#pragma once

#include <stdbool.h>

#include "plugin/pager/ram-range.h"
#include "plugin/pager/uffd.h"

/* Whether userfaultfd is to be had, and can do what is needed.  If not, it
 * says why the tests are skipped. */
bool have_userfaultfd(UffdCaps needed);

/* Two entries of a CMUnitTest table. */
/* clang-format off */
#define FOR_BOTH_KINDS(test)                                              \
    {#test " (anonymous memory)", test, NULL, NULL, &ram_kind_anonymous}, \
    {#test " (shared memory)", test, NULL, NULL, &ram_kind_shared}

/* One entry, for what concerns anonymous memory alone. */
#define FOR_ANONYMOUS(test)                                               \
    {#test, test, NULL, NULL, &ram_kind_anonymous}
/* clang-format on */

extern RamKind ram_kind_anonymous;
extern RamKind ram_kind_shared;

/* The memory that such a test is to run for. */
RamKind ram_kind_of(void **state);
