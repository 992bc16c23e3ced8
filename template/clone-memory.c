/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Format: Linux, Documentation/filesystems/proc.rst, "smaps".
 */
#include "template/clone-memory.h"

#include <stdio.h>
#include <string.h>

#include <glib.h>

#include "formats/template-protocol.h"
#include "plugin/pager/mapping.h"

/* "Rss:   4 kB" in bytes; another field: 0. */
static uint64_t field_bytes(const char *line, const char *name)
{
    size_t len = strlen(name);

    return strncmp(line, name, len) == 0
               ? g_ascii_strtoull(line + len, NULL, 10) * 1024
               : 0;
}

bool clone_memory_read(pid_t pid, uint64_t *ret_shared_bytes,
                       uint64_t *ret_own_bytes)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps", (int)pid);
    g_autofree char *text = NULL;
    uint64_t resident = 0;
    uint64_t own = 0;
    bool is_ours = false;
    const char *line;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return false;
    }
    char *rest = text;
    while ((line = mapping_next_line(&rest))) {
        Mapping mapping;

        if (mapping_parse(line, &mapping)) {
            is_ours =
                g_str_has_prefix(mapping.path, "/memfd:" TEMPLATE_MEMORY_NAME);
        } else if (is_ours) {
            resident += field_bytes(line, "Rss:");
            own += field_bytes(line, "Anonymous:");
        }
    }
    *ret_shared_bytes = resident - MIN(own, resident);
    *ret_own_bytes = own;
    return true;
}
