/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Format: Linux, Documentation/filesystems/proc.rst, "/proc/PID/status".
 */
#include "template/clone-memory.h"

#include <string.h>

#include <glib.h>

/* Of a line "Name:   4 kB" of text, name with the colon; false: there is none.
 */
static bool find_field(const char *text, const char *name, uint64_t *ret_bytes)
{
    const char *line = strstr(text, name);

    if (!line) {
        return false;
    }
    *ret_bytes = g_ascii_strtoull(line + strlen(name), NULL, 10) * 1024;
    return true;
}

bool clone_memory_read(pid_t pid, uint64_t *ret_shared_bytes,
                       uint64_t *ret_own_bytes)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    g_autofree char *text = NULL;
    uint64_t shared_bytes;
    uint64_t own_bytes;

    /* A clone maps no other memory files: its own RAM must not be shared. */
    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        !find_field(text, "\nRssShmem:", &shared_bytes) ||
        !find_field(text, "\nRssAnon:", &own_bytes)) {
        return false;
    }
    *ret_shared_bytes = shared_bytes;
    *ret_own_bytes = own_bytes;
    return true;
}
