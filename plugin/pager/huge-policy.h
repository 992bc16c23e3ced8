/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the kernel itself fills memory with huge pages: its settings, and
 * what they mean for a mapping.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plugin/pager/ram-range.h"

/* Where the settings are. */
#define HUGE_POLICY_FOLDER "/sys/kernel/mm"

typedef enum {
    HUGE_NEVER,
    HUGE_ADVISED, /* where somebody has asked for it: MADV_HUGEPAGE */
    HUGE_ALWAYS,
} HugeChoice;

typedef struct HugePolicy {
    uint64_t huge_bytes; /* of a huge page */
    HugeChoice anonymous;
    HugeChoice shared; /* memfd, shared anonymous memory */
    bool forces_files; /* tmpfs has huge pages whatever its mount says … */
    bool denies_files; /* … or has none */
    bool merges;       /* KSM is at work: it wants small pages */
} HugePolicy;

/* Read the settings in folder, with what is set for this process.  Returns
 * false where there are no huge pages at all, or nothing can be read. */
bool huge_policy_read(const char *folder, HugePolicy *ret_policy);

/*
 * Whether a mapping with these flags (as smaps has them: "rd wr mr … hg") has
 * huge pages.  mount_options: of the tmpfs that a shared one's file is on;
 * NULL: it is the kernel's own.
 */
bool huge_policy_allows(const HugePolicy *policy, RamKind kind,
                        const char *flags, const char *mount_options);
