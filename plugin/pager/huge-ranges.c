/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/huge-ranges.h"

#include <string.h>

#include "plugin/pager/kernel-file.h"
#include "plugin/pager/mapping.h"

static bool may_be_huge(const HugePolicy *policy, const Mapping *mapping,
                        const char *flags)
{
    if (mapping->inode == 0) {
        return huge_policy_allows(policy, RAM_ANONYMOUS, flags, NULL);
    }
    MappingFileSystem on;
    mapping_file_system(mapping, &on);
    bool may = g_strcmp0(on.type, "tmpfs") == 0 &&
               huge_policy_allows(policy, RAM_SHARED, flags,
                                  on.is_kernels ? NULL : on.options);
    mapping_file_system_clear(&on);
    return may;
}

static void add(GArray *ranges, const Mapping *mapping)
{
    const HugeRange range = {
        .start = mapping->start,
        .end = mapping->end,
        .kind = mapping->inode == 0 ? RAM_ANONYMOUS : RAM_SHARED,
    };
    HugeRange *last = ranges->len > 0
                          ? &g_array_index(ranges, HugeRange, ranges->len - 1)
                          : NULL;

    if (last && last->end == range.start && last->kind == range.kind) {
        last->end = range.end;
    } else {
        g_array_append_val(ranges, range);
    }
}

GArray *huge_ranges_read(const HugePolicy *policy)
{
    GArray *ranges = g_array_new(FALSE, FALSE, sizeof(HugeRange));
    g_autofree char *smaps = kernel_file_read(KERNEL_FILE_SMAPS);
    char *rest = smaps;
    Mapping mapping = {0};
    const char *line;

    while (rest && (line = mapping_next_line(&rest))) {
        if (!mapping_parse(line, &mapping) &&
            g_str_has_prefix(line, "VmFlags:") &&
            may_be_huge(policy, &mapping, line + strlen("VmFlags:"))) {
            add(ranges, &mapping);
        }
    }
    return ranges;
}

bool huge_ranges_have(const GArray *ranges, RamKind kind, uint64_t start,
                      uint64_t end)
{
    for (guint i = 0; i < ranges->len; i++) {
        const HugeRange *range = &g_array_index(ranges, HugeRange, i);

        if (range->kind == kind && start >= range->start && end <= range->end) {
            return true;
        }
    }
    return false;
}
