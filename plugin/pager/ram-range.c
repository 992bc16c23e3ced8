/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/ram-range.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

GQuark pager_error_quark(void)
{
    return g_quark_from_static_string("preheat-pager-error-quark");
}

#define WAY_OUT "or load with --policy full"

/* One line of /proc/self/maps. */
typedef struct Mapping {
    uint64_t start;
    uint64_t end;
    char perms[5];
    dev_t device;
    uint64_t inode;
    const char *path; /* into the line; "" if there is none */
} Mapping;

static bool parse_mapping(char *line, Mapping *ret_mapping)
{
    unsigned major_number;
    unsigned minor_number;
    int path_at = 0;
    int n = sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %x:%x %" SCNu64 " %n",
                   &ret_mapping->start, &ret_mapping->end, ret_mapping->perms,
                   &major_number, &minor_number, &ret_mapping->inode, &path_at);

    if (n < 6 || path_at == 0) {
        return false;
    }
    ret_mapping->device = makedev(major_number, minor_number);
    line[strcspn(line, "\n")] = '\0';
    ret_mapping->path = line + path_at;
    return true;
}

/* memfd and shared anonymous memory live on the kernel's own tmpfs, which
 * has no mount point; the path still tells them. */
static bool is_kernel_path(const char *path)
{
    return g_str_has_prefix(path, "/memfd:") ||
           g_str_has_prefix(path, "/dev/zero (deleted)") ||
           g_str_has_prefix(path, "/SYSV");
}

/* Such a path is also what reserved huge pages are called when they come from
 * memfd or SysV; these live on another device. */
static bool is_kernel_shmem(const Mapping *mapping)
{
    int fd = memfd_create("preheat", MFD_CLOEXEC);
    struct stat info;
    bool is =
        fd >= 0 && fstat(fd, &info) == 0 && info.st_dev == mapping->device;

    if (fd >= 0) {
        close(fd);
    }
    return is;
}

/* Whether the mapping's file is on tmpfs.  Asked of its folder, since QEMU
 * may have unlinked the file as soon as it was open. */
static bool is_on_tmpfs(const Mapping *mapping)
{
    g_autofree char *folder = g_path_get_dirname(mapping->path);
    struct statfs fs;

    return statfs(folder, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

static bool refuse(GError **error, const char *name, const char *what)
{
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                "RAM block %s %s, " WAY_OUT, name, what);
    return false;
}

static bool classify(const char *name, const Mapping *mapping,
                     RamKind *ret_kind, GError **error)
{
    bool shared = mapping->perms[3] == 's';

    if (mapping->perms[0] != 'r' || mapping->perms[1] != 'w') {
        return refuse(error, name,
                      "is not writable memory; take its device off");
    }
    if (mapping->inode == 0 && !shared) {
        *ret_kind = RAM_ANONYMOUS;
        return true;
    }
    bool by_kernel = is_kernel_path(mapping->path);
    if (g_str_has_prefix(mapping->path, "/anon_hugepage") ||
        strstr(mapping->path, "hugetlb") ||
        (by_kernel && !is_kernel_shmem(mapping))) {
        return refuse(error, name,
                      "is made of reserved huge pages (hugetlb), which are "
                      "not loaded lazily; use memory-backend-memfd without "
                      "hugetlb=on");
    }
    if (!shared) {
        return refuse(error, name,
                      "is a private mapping of a file, whose own contents "
                      "would show through; use memory-backend-ram, or "
                      "share=on on tmpfs");
    }
    if (by_kernel || is_on_tmpfs(mapping)) {
        *ret_kind = RAM_SHARED;
        return true;
    }
    g_autofree char *what = g_strdup_printf(
        "is mapped from the ordinary file %s; use memory-backend-memfd, or a "
        "file on tmpfs such as /dev/shm",
        mapping->path);
    return refuse(error, name, what);
}

/* Go through the mappings that make up the range: all must be of one kind and
 * follow each other without a gap. */
static bool check_mappings(FILE *maps, const char *name, uint64_t start,
                           uint64_t end, RamKind *ret_kind, GError **error)
{
    g_autofree char *line = NULL;
    size_t size = 0;
    uint64_t at = start;

    while (at < end && getline(&line, &size, maps) >= 0) {
        Mapping mapping;
        RamKind kind;

        if (!parse_mapping(line, &mapping) || mapping.end <= at) {
            continue;
        }
        if (mapping.start > at) {
            break;
        }
        if (!classify(name, &mapping, &kind, error)) {
            return false;
        }
        if (at > start && kind != *ret_kind) {
            return refuse(error, name, "is a mixture of kinds of memory");
        }
        *ret_kind = kind;
        at = mapping.end;
    }
    if (at < end) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                    "RAM block %s: nothing is mapped at 0x%" PRIx64
                    "; is its address this QEMU's?",
                    name, at);
        return false;
    }
    return true;
}

bool ram_range_check(const char *name, uint64_t start, uint64_t len_bytes,
                     RamKind *ret_kind, GError **error)
{
    RamKind kind = RAM_ANONYMOUS;

    if (start > UINT64_MAX - len_bytes) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                    "RAM block %s: no memory at 0x%" PRIx64
                    " can be so long; is its address this QEMU's?",
                    name, start);
        return false;
    }
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "/proc/self/maps cannot be opened: %s", g_strerror(errno));
        return false;
    }
    bool ok =
        check_mappings(maps, name, start, start + len_bytes, &kind, error);
    fclose(maps);
    if (ok) {
        *ret_kind = kind;
    }
    return ok;
}

int ram_range_discard(RamKind kind, uint64_t start, uint64_t len_bytes)
{
    int advice = kind == RAM_SHARED ? MADV_REMOVE : MADV_DONTNEED;

    /* An address from outside the language: guest RAM, by its number. */
    return madvise((void *)(uintptr_t)start, len_bytes, advice) == 0 ? 0
                                                                     : -errno;
}

bool ram_range_open_uffd(int *ret_fd, UffdCaps *ret_caps, const char *otherwise,
                         GError **error)
{
    int rc = uffd_open(ret_fd, ret_caps);

    if (rc == -EPERM || rc == -EACCES) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "userfaultfd is not allowed here: give this user access "
                    "to /dev/userfaultfd, or CAP_SYS_PTRACE, or set the "
                    "sysctl vm.unprivileged_userfaultfd=1, or %s",
                    otherwise);
    } else if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "userfaultfd cannot be had: %s; it needs Linux 4.14 or "
                    "later with CONFIG_USERFAULTFD; else %s",
                    g_strerror(-rc), otherwise);
    }
    return rc >= 0;
}
