/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/process-info.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

static bool read_file(pid_t pid, const char *name, char **ret_text,
                      size_t *ret_len, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, name);

    return g_file_get_contents(path, ret_text, ret_len, error);
}

bool process_info_locked_memory(pid_t pid, uint64_t *ret_bytes, GError **error)
{
    static const char key[] = "\nVmLck:";
    g_autofree char *status = NULL;
    const char *line;

    if (!read_file(pid, "status", &status, NULL, error)) {
        return false;
    }
    line = strstr(status, key);
    *ret_bytes =
        line ? g_ascii_strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
    return true;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *process_info_directory(pid_t pid, GError **error)
{
    g_autofree char *link = g_strdup_printf("/proc/%d/cwd", (int)pid);

    return g_file_read_link(link, error);
}

GStrv process_info_open_files(pid_t pid, GError **error)
{
    g_autofree char *folder = g_strdup_printf("/proc/%d/fd", (int)pid);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, error);
    GPtrArray *names;
    const char *entry;

    if (!dir) {
        return NULL;
    }
    names = g_ptr_array_new();
    while ((entry = g_dir_read_name(dir)) != NULL) {
        g_autofree char *link = g_build_filename(folder, entry, NULL);
        /* It may have been closed meanwhile. */
        char *name = g_file_read_link(link, NULL);

        if (name) {
            g_ptr_array_add(names, name);
        }
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return (GStrv)g_ptr_array_free(names, FALSE);
}

GStrv process_info_arguments(pid_t pid, GError **error)
{
    g_autofree char *text = NULL;
    GPtrArray *arguments;
    size_t len;

    if (!read_file(pid, "cmdline", &text, &len, error)) {
        return NULL;
    }
    arguments = g_ptr_array_new();
    for (size_t at = 0; at < len; at += strlen(text + at) + 1) {
        g_ptr_array_add(arguments, g_strdup(text + at));
    }
    g_ptr_array_add(arguments, NULL);
    return (GStrv)g_ptr_array_free(arguments, FALSE);
}

/* The file of a line of /proc/PID/maps, if the mapping is shared and holds
 * address. */
static bool parse_mapping(const char *line, uint64_t address,
                          ProcessFile *ret_file)
{
    uint64_t start, end, inode;
    char perms[5], device[32];
    bool shared;

    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %31s %" SCNu64, &start,
               &end, perms, device, &inode) != 5 ||
        address < start || address >= end) {
        return false;
    }
    shared = perms[3] == 's' && inode != 0;
    ret_file->id[0] = '\0';
    ret_file->has_name = shared && !g_str_has_suffix(line, " (deleted)");
    if (shared) {
        snprintf(ret_file->id, sizeof(ret_file->id), " %s %" PRIu64 " ", device,
                 inode);
    }
    return true;
}

bool process_info_shared_file(pid_t pid, uint64_t address,
                              ProcessFile *ret_file, GError **error)
{
    g_autofree char *maps = NULL;
    g_auto(GStrv) lines = NULL;

    if (!read_file(pid, "maps", &maps, NULL, error)) {
        return false;
    }
    lines = g_strsplit(maps, "\n", -1);
    for (size_t i = 0; lines[i]; i++) {
        if (parse_mapping(lines[i], address, ret_file)) {
            return true;
        }
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "nothing is mapped at 0x%" PRIx64 " in process %d", address,
                (int)pid);
    return false;
}

static bool maps_file(pid_t pid, const ProcessFile *file)
{
    g_autofree char *maps = NULL;

    return read_file(pid, "maps", &maps, NULL, NULL) &&
           strstr(maps, file->id) != NULL;
}

static char *process_name(pid_t pid)
{
    char *name = NULL;

    return read_file(pid, "comm", &name, NULL, NULL) ? g_strchomp(name)
                                                     : g_strdup("?");
}

pid_t process_info_other_user(pid_t pid, const ProcessFile *file,
                              char **ret_name)
{
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    const char *entry;

    while (dir && (entry = g_dir_read_name(dir)) != NULL) {
        pid_t other = atoi(entry);

        if (other > 0 && other != pid && maps_file(other, file)) {
            *ret_name = process_name(other);
            return other;
        }
    }
    return 0;
}
