/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources, by commit in Linux's history and, for the stable branches, the
 * kernel's CVE records and ChangeLogs:
 *
 *   SHARED_HOLES     mm/khugepaged: skip shmem with userfaultfd
 *   CONTINUE         mm/shmem: use page_mapping() to detect page cache for uffd
 *                    continue
 *   COLLAPSE         mm/khugepaged: fix ->anon_vma race; mm/MADV_COLLAPSE: set
 *                    EAGAIN on unexpected page refcount
 *   COLLAPSE_SHARED  mm/khugepaged: maintain page cache uptodate flag
 *   MOVE             mm: userfaultfd: fix race of userfaultfd_move and swap
 *                    cache (CVE-2025-38242); userfaultfd: fix a crash in
 *                    UFFDIO_MOVE when PMD is a migration entry (CVE-2025-38686)
 *   MOVE_HUGE        mm/huge_memory: fix use of NULL folio in
 *                    move_pages_huge_pmd() (CVE-2026-31397: 6.16 and later)
 */
#include "plugin/pager/kernel-features.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define MAX_BRANCHES 5

typedef struct KernelVersion {
    unsigned major;
    unsigned minor;
    unsigned patch;
} KernelVersion;

/* The versions that the faults were mended in: of each stable branch that got
 * the fix, in rising sequence, the last one also for all later branches. */
typedef struct SafeVersions {
    const char *text;
    size_t n_branches;
    KernelVersion branches[MAX_BRANCHES];
} SafeVersions;

static const SafeVersions safe_versions[N_KERNEL_FEATURES] = {
    [KERNEL_SHARED_HOLES] = {"Linux 6.4", 1, {{6, 4, 0}}},
    [KERNEL_CONTINUE] = {"Linux 6.0.9", 2, {{6, 0, 9}, {6, 1, 0}}},
    [KERNEL_COLLAPSE] = {"Linux 6.1.13", 2, {{6, 1, 13}, {6, 2, 0}}},
    [KERNEL_COLLAPSE_SHARED] = {"Linux 6.4", 1, {{6, 4, 0}}},
    [KERNEL_MOVE] = {"Linux 6.12.43, 6.15.11, 6.16.2 or 6.17",
                     4,
                     {{6, 12, 43}, {6, 15, 11}, {6, 16, 2}, {6, 17, 0}}},
    [KERNEL_MOVE_HUGE] =
        {"Linux 6.12.43, 6.15.11, 6.18.20, 6.19.10 or 7.0",
         5,
         {{6, 12, 43}, {6, 15, 11}, {6, 18, 20}, {6, 19, 10}, {7, 0, 0}}},
};

static bool parse(const char *text, KernelVersion *ret_version)
{
    KernelVersion version = {0};

    if (sscanf(text, "%u.%u.%u", &version.major, &version.minor,
               &version.patch) < 2) {
        return false;
    }
    *ret_version = version;
    return true;
}

/* Debian's release names its kernel's ABI ("6.1.0-40-amd64"); which version it
 * is stands in the other text ("#1 SMP … Debian 6.1.153-1 (2025-…)"). */
static bool parse_uname(const char *release, const char *version,
                        KernelVersion *ret_version)
{
    const char *debian = strstr(version, "Debian ");

    return (debian && parse(debian + strlen("Debian "), ret_version)) ||
           parse(release, ret_version);
}

bool kernel_feature_is_safe_in(KernelFeature feature, const char *release,
                               const char *version)
{
    const SafeVersions *safe = &safe_versions[feature];
    const KernelVersion *last = &safe->branches[safe->n_branches - 1];
    KernelVersion here;

    if (!parse_uname(release, version, &here)) {
        return false;
    }
    for (size_t i = 0; i < safe->n_branches; i++) {
        const KernelVersion *branch = &safe->branches[i];

        if (here.major == branch->major && here.minor == branch->minor) {
            return here.patch >= branch->patch;
        }
    }
    return here.major > last->major ||
           (here.major == last->major && here.minor > last->minor);
}

bool kernel_feature_is_safe(KernelFeature feature)
{
    struct utsname name;

    return uname(&name) == 0 &&
           kernel_feature_is_safe_in(feature, name.release, name.version);
}

const char *kernel_feature_safe_since(KernelFeature feature)
{
    return safe_versions[feature].text;
}
