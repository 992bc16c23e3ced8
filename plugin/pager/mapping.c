/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Formats: Linux, Documentation/filesystems/proc.rst.
 */
#include "plugin/pager/mapping.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <glib.h>

#include "plugin/pager/kernel-file.h"

/* The kernel's name for huge pages that belong to no file. */
#define ANONYMOUS_HUGE_PAGES "/anon_hugepage"

/* Beyond these a descriptor of guest RAM is not looked for. */
#define MAX_FDS 65536

char *mapping_next_line(char **text)
{
    return !*text || **text == '\0' ? NULL : strsep(text, "\n");
}

bool mapping_parse(const char *line, Mapping *ret_mapping)
{
    Mapping mapping;
    unsigned major_number;
    unsigned minor_number;
    int path_at = 0;
    int n = sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %x:%x %" SCNu64 " %n",
                   &mapping.start, &mapping.end, mapping.perms, &major_number,
                   &minor_number, &mapping.inode, &path_at);

    if (n < 6 || path_at == 0) {
        return false;
    }
    mapping.device = makedev(major_number, minor_number);
    mapping.path = line + path_at;
    *ret_mapping = mapping;
    return true;
}

/* ---- file systems ---- */

/* One line of mountinfo: "36 35 98:0 /mnt1 /mnt2 rw master:1 - ext3 /dev/root
 * rw", with any number of fields before the "-". */
static bool is_mount_of(const char *line, dev_t device,
                        MappingFileSystem *ret_file_system)
{
    const char *rest = strstr(line, " - ");
    unsigned major_number;
    unsigned minor_number;

    if (!rest ||
        sscanf(line, "%*u %*u %u:%u", &major_number, &minor_number) != 2 ||
        makedev(major_number, minor_number) != device) {
        return false;
    }
    g_auto(GStrv) fields = g_strsplit(rest + strlen(" - "), " ", 3);
    if (g_strv_length(fields) < 3) {
        return false;
    }
    ret_file_system->type = g_strdup(fields[0]);
    ret_file_system->options = g_strdup(fields[2]);
    return true;
}

static bool find_mount(dev_t device, MappingFileSystem *ret_file_system)
{
    g_autofree char *text = kernel_file_read(KERNEL_FILE_MOUNTS);
    char *rest = text;
    const char *line;

    while (rest && (line = mapping_next_line(&rest))) {
        if (is_mount_of(line, device, ret_file_system)) {
            return true;
        }
    }
    return false;
}

static bool is_kernels_tmpfs(dev_t device)
{
    int fd = memfd_create("preheat", MFD_CLOEXEC);
    struct stat info;
    bool is = fd >= 0 && fstat(fd, &info) == 0 && info.st_dev == device;

    if (fd >= 0) {
        close(fd);
    }
    return is;
}

/* What has such a name and is mounted nowhere is on one of the kernel's own
 * file systems. */
static bool has_kernels_name(const char *path)
{
    return g_str_has_prefix(path, "/memfd:") ||
           g_str_has_prefix(path, ANONYMOUS_HUGE_PAGES) ||
           g_str_has_prefix(path, "/SYSV");
}

void mapping_file_system(const Mapping *mapping,
                         MappingFileSystem *ret_file_system)
{
    MappingFileSystem found = {0};

    if (!find_mount(mapping->device, &found)) {
        if (is_kernels_tmpfs(mapping->device)) {
            found.is_kernels = true;
            found.type = g_strdup("tmpfs");
        } else if (has_kernels_name(mapping->path)) {
            found.is_kernels = true;
            found.type = g_strdup("hugetlbfs");
        }
    }
    *ret_file_system = found;
}

/* QEMU keeps the descriptor of each file that it has mapped as guest RAM.  By
 * asking for all there can be: /proc/self/fd may be out of reach. */
bool mapping_file_is_empty(const Mapping *mapping)
{
    long max_fds = MIN(sysconf(_SC_OPEN_MAX), MAX_FDS);

    if (g_str_has_prefix(mapping->path, ANONYMOUS_HUGE_PAGES)) {
        return true;
    }
    for (int fd = 0; fd < max_fds; fd++) {
        struct stat info;

        if (fstat(fd, &info) == 0 && info.st_dev == mapping->device &&
            info.st_ino == mapping->inode) {
            return info.st_blocks == 0;
        }
    }
    return false;
}

void mapping_file_system_clear(MappingFileSystem *file_system)
{
    g_clear_pointer(&file_system->type, g_free);
    g_clear_pointer(&file_system->options, g_free);
}
