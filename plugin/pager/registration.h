/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which parts of RAM blocks are registered with userfaultfd while they are
 * loaded.
 *
 * Only stretches that have a page in the file: elsewhere the kernel itself
 * fills in zeroes, in huge pages if it likes.  Each border between the two
 * costs a kernel mapping, of which a process has a limited number (65,530
 * unless the sysctl vm.max_map_count says otherwise), and QEMU needs some, too.
 * So there is a budget of borders for all blocks together, and it goes to the
 * largest holes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "plugin/pager/ram-range.h"

/* A stretch that need not be registered. */
typedef struct RegistrationHole {
    uint64_t start;
    uint64_t len_bytes;
    unsigned n_borders; /* with parts of its block that are: up to 2 */
} RegistrationHole;

/* How many borders n_blocks blocks may have, in a process that may have
 * max_mappings and has n_mappings. */
uint64_t registration_budget(uint64_t max_mappings, uint64_t n_mappings,
                             size_t n_blocks);

/* The same of this process as it is now. */
uint64_t registration_budget_here(size_t n_blocks);

/* The holes to leave out, with at most max_borders borders: an array of
 * RegistrationHole. */
GArray *registration_plan(const RamPages *blocks, size_t n_blocks,
                          uint64_t max_borders);
