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

/* Two entries for reserved huge pages, where there are some. */
/* clang-format off */
#define FOR_BOTH_HUGETLB(test)                                            \
    {#test " (private)", test, NULL, NULL, &ram_kind_hugetlb},            \
    {#test " (shared)", test, NULL, NULL, &ram_kind_hugetlb_shared}
/* clang-format on */

extern RamKind ram_kind_hugetlb;
extern RamKind ram_kind_hugetlb_shared;

/* Huge pages of 2 MiB that the kernel keeps for who asks for them. */
typedef struct HugetlbPool {
    int setting; /* of the kernel's, locked; -1: none */
    uint64_t n_before;
} HugetlbPool;

/* See that at least n of them are free, and that no other test counts on the
 * same ones.  Gives the kernel some if it has too few, which takes root's
 * rights, until hugetlb_pool_close().  If there are too few still, it says so
 * and returns false. */
bool hugetlb_pool_open(HugetlbPool *pool, uint64_t n);
void hugetlb_pool_close(HugetlbPool *pool);

/* How many are free now. */
uint64_t hugetlb_pool_n_free(void);

/* The memory that such a test is to run for. */
RamKind ram_kind_of(void **state);
