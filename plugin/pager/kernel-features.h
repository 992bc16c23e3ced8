/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which features of this kernel are safe to use.  The kernel itself says
 * whether it has a feature, but not whether the feature has a known bug that
 * could harm the guest or the host: for that there is a table of versions, from
 * the kernel's history.  docs/kernel.md has the same table, with what is done
 * without the feature.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    /* khugepaged leaves the holes of shared memory alone that is registered
     * for missing faults. */
    KERNEL_SHARED_HOLES,
    /* UFFDIO_CONTINUE, also of huge pages. */
    KERNEL_CONTINUE,
    /* MADV_COLLAPSE of anonymous memory … */
    KERNEL_COLLAPSE,
    /* … and of shared memory. */
    KERNEL_COLLAPSE_SHARED,
    /* UFFDIO_MOVE in pieces smaller than a huge page, which it splits … */
    KERNEL_MOVE,
    /* … and of whole huge pages, the kernel's huge page of zeroes too. */
    KERNEL_MOVE_HUGE,
    N_KERNEL_FEATURES,
} KernelFeature;

/* Whether the feature, if this kernel has it, is safe to use. */
bool kernel_feature_is_safe(KernelFeature feature);

/* From which versions on it is, for messages: "Linux 6.12.43, 6.15.11, …". */
const char *kernel_feature_safe_since(KernelFeature feature);

/* The same question of another kernel: release and version are uname()'s.  One
 * whose version is not understood is not safe. */
bool kernel_feature_is_safe_in(KernelFeature feature, const char *release,
                               const char *version);
