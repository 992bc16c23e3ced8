/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/ram-range.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/mempolicy.h>

#include "plugin/pager/kernel-features.h"
#include "plugin/pager/kernel-file.h"
#include "plugin/pager/mapping.h"
#include "plugin/pager/resident.h"

GQuark pager_error_quark(void)
{
    return g_quark_from_static_string("preheat-pager-error-quark");
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

void ram_range_prepare(void)
{
    kernel_files_prepare();
    resident_prepare();
    uffd_prepare();
}

void ram_range_unprepare(void)
{
    kernel_files_unprepare();
    resident_unprepare();
    uffd_unprepare();
}

/* NULL with an error; for g_free(). */
static char *read_kernel_file(KernelFile file, GError **error)
{
    char *text = kernel_file_read(file);

    if (!text) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "%s cannot be read: %s", kernel_file_path(file),
                    g_strerror(errno));
    }
    return text;
}

/* What messages name: the RAM block, and what to do without it. */
typedef struct Subject {
    const char *name;
    const char *otherwise;
} Subject;

static bool refuse(GError **error, const Subject *subject, const char *what)
{
    g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM, "RAM block %s %s, or %s",
                subject->name, what, subject->otherwise);
    return false;
}

/* ---- of what kind it is ---- */

static bool is_shared(const Mapping *mapping)
{
    return mapping->perms[3] == 's';
}

/* What has not been written to of a private mapping is what the file has
 * there. */
static bool classify_hugetlb(const Subject *subject, const Mapping *mapping,
                             RamKind *ret_kind, GError **error)
{
    if (!is_shared(mapping) && !mapping_file_is_empty(mapping)) {
        return refuse(error, subject,
                      "is a private mapping of a file on hugetlbfs that has "
                      "contents, which would show through; use an empty file, "
                      "or share=on");
    }
    *ret_kind = is_shared(mapping) ? RAM_HUGETLB_SHARED : RAM_HUGETLB;
    return true;
}

static bool classify_file(const Subject *subject, const Mapping *mapping,
                          const MappingFileSystem *on, RamKind *ret_kind,
                          GError **error)
{
    if (g_strcmp0(on->type, "hugetlbfs") == 0) {
        return classify_hugetlb(subject, mapping, ret_kind, error);
    }
    if (!is_shared(mapping)) {
        return refuse(error, subject,
                      "is a private mapping of a file, whose own contents "
                      "would show through; use memory-backend-ram, or "
                      "share=on on tmpfs");
    }
    if (g_strcmp0(on->type, "tmpfs") == 0) {
        *ret_kind = RAM_SHARED;
        return true;
    }
    g_autofree char *what = g_strdup_printf(
        "is mapped from the ordinary file %s (%s); use memory-backend-memfd, "
        "or a file on tmpfs such as /dev/shm",
        mapping->path, on->type ? on->type : "on a file system not seen here");
    return refuse(error, subject, what);
}

static bool classify(const Subject *subject, const Mapping *mapping,
                     RamKind *ret_kind, GError **error)
{
    if (mapping->perms[0] != 'r' || mapping->perms[1] != 'w') {
        return refuse(error, subject,
                      "is not writable memory; remove its device");
    }
    if (mapping->inode == 0 && !is_shared(mapping)) {
        *ret_kind = RAM_ANONYMOUS;
        return true;
    }
    MappingFileSystem on;
    mapping_file_system(mapping, &on);
    bool ok = classify_file(subject, mapping, &on, ret_kind, error);
    mapping_file_system_clear(&on);
    return ok;
}

/* Go through the mappings that make up the range: all must be of one kind and
 * follow each other without a gap. */
static bool check_mappings(char *maps, const Subject *subject, uint64_t start,
                           uint64_t end, RamKind *ret_kind, GError **error)
{
    uint64_t at = start;
    const char *line;

    while (at < end && (line = mapping_next_line(&maps))) {
        Mapping mapping;
        RamKind kind;

        if (!mapping_parse(line, &mapping) || mapping.end <= at) {
            continue;
        }
        if (mapping.start > at) {
            break;
        }
        if (!classify(subject, &mapping, &kind, error)) {
            return false;
        }
        if (at > start && kind != *ret_kind) {
            return refuse(error, subject, "is a mixture of kinds of memory");
        }
        *ret_kind = kind;
        at = mapping.end;
    }
    if (at < end) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                    "RAM block %s: nothing is mapped at 0x%" PRIx64
                    "; is the address this QEMU's?",
                    subject->name, at);
        return false;
    }
    return true;
}

/* ---- whether it is locked ---- */

static bool has_locked_memory(const char *status)
{
    const char *locked = strstr(status, "\nVmLck:");

    return locked &&
           g_ascii_strtoull(locked + strlen("\nVmLck:"), NULL, 10) > 0;
}

static bool has_locked_mapping(char *smaps, uint64_t start, uint64_t end)
{
    Mapping mapping = {0};
    const char *line;

    while ((line = mapping_next_line(&smaps))) {
        if (mapping_parse(line, &mapping) || mapping.start >= end ||
            mapping.end <= start) {
            continue;
        }
        if (g_str_has_prefix(line, "VmFlags:") && strstr(line, " lo")) {
            return true;
        }
    }
    return false;
}

bool ram_range_check(const char *name, uint64_t start, uint64_t len_bytes,
                     const char *otherwise, RamKind *ret_kind, GError **error)
{
    const Subject subject = {name, otherwise};
    RamKind kind = RAM_ANONYMOUS;

    if (start > UINT64_MAX - len_bytes) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_RAM,
                    "RAM block %s: no memory at 0x%" PRIx64
                    " can be that long; is the address this QEMU's?",
                    name, start);
        return false;
    }
    g_autofree char *maps = read_kernel_file(KERNEL_FILE_MAPS, error);
    if (!maps || !check_mappings(maps, &subject, start, start + len_bytes,
                                 &kind, error)) {
        return false;
    }
    *ret_kind = kind;
    return true;
}

/* What smaps says, line by line, of the mapping at start. */
static void read_huge_pages(char *smaps, uint64_t start, RamHugePages *pages)
{
    const char size[] = "KernelPageSize:";
    Mapping mapping = {0};
    const char *line;

    while ((line = mapping_next_line(&smaps))) {
        if (mapping_parse(line, &mapping) || mapping.start > start ||
            mapping.end <= start) {
            continue;
        }
        if (g_str_has_prefix(line, size)) {
            pages->bytes =
                g_ascii_strtoull(line + strlen(size), NULL, 10) * 1024;
        } else if (g_str_has_prefix(line, "VmFlags:")) {
            pages->is_reserved = strstr(line, " nr") == NULL;
        }
    }
}

bool ram_range_huge_pages(const char *name, uint64_t start,
                          const char *otherwise, RamHugePages *ret_pages,
                          GError **error)
{
    RamHugePages pages = {0};
    g_autofree char *smaps = read_kernel_file(KERNEL_FILE_SMAPS, error);

    if (!smaps) {
        return false;
    }
    read_huge_pages(smaps, start, &pages);
    if (pages.bytes == 0) {
        return refuse(error, &(Subject){name, otherwise},
                      "is made of reserved huge pages (hugetlb), and the "
                      "kernel does not say of which size; use "
                      "memory-backend-ram");
    }
    *ret_pages = pages;
    return true;
}

/* Asked of the slow file only where something is locked at all. */
bool ram_range_check_unlocked(const char *name, uint64_t start,
                              uint64_t len_bytes, const char *otherwise,
                              GError **error)
{
    const Subject subject = {name, otherwise};
    g_autofree char *status = read_kernel_file(KERNEL_FILE_STATUS, error);

    if (!status || !has_locked_memory(status)) {
        return status != NULL;
    }
    g_autofree char *smaps = read_kernel_file(KERNEL_FILE_SMAPS, error);
    if (!smaps) {
        return false;
    }
    return !has_locked_mapping(smaps, start, start + len_bytes) ||
           refuse(error, &subject,
                  "is locked (-overcommit mem-lock=on?), so it cannot be "
                  "discarded; start QEMU without that");
}

bool ram_range_is_bound(uint64_t start)
{
    int mode = MPOL_DEFAULT;

    /* Fails where the kernel knows no NUMA. */
    return syscall(SYS_get_mempolicy, &mode, NULL, 0, start, MPOL_F_ADDR) ==
               0 &&
           mode != MPOL_DEFAULT;
}

int ram_range_discard(RamKind kind, uint64_t start, uint64_t len_bytes)
{
    bool is_shared = kind == RAM_SHARED || kind == RAM_HUGETLB_SHARED;
    int advice = is_shared ? MADV_REMOVE : MADV_DONTNEED;

    /* An address from outside the language: guest RAM, by its number. */
    return madvise((void *)(uintptr_t)start, len_bytes, advice) == 0 ? 0
                                                                     : -errno;
}

int ram_range_populate(uint64_t start, uint64_t len_bytes)
{
    if (madvise((void *)(uintptr_t)start, len_bytes, MADV_POPULATE_WRITE) ==
        0) {
        return 0;
    }
    return errno == EINVAL ? 0 : -errno;
}

/* What keeps them together is that they had a private page when they were one
 * (anon_vma in the kernel's terms).  This makes the first page such a page,
 * without changing what is in it. */
void ram_range_keep_together(RamKind kind, uint64_t start, uint64_t page_bytes)
{
    if (kind == RAM_ANONYMOUS) {
        (void)madvise((void *)(uintptr_t)start, page_bytes,
                      MADV_POPULATE_WRITE);
    }
}

static void advise_shared(RamKind kind, uint64_t start, uint64_t len_bytes,
                          int advice)
{
    if (kind == RAM_SHARED && !kernel_feature_is_safe(KERNEL_SHARED_HOLES)) {
        /* Fails where the kernel has no huge pages, and so nobody who would
         * make some. */
        (void)madvise((void *)(uintptr_t)start, len_bytes, advice);
    }
}

void ram_range_keep_holes(RamKind kind, uint64_t start, uint64_t len_bytes)
{
    advise_shared(kind, start, len_bytes, MADV_NOHUGEPAGE);
}

/* QEMU asks for huge pages for all of its RAM. */
void ram_range_release_holes(RamKind kind, uint64_t start, uint64_t len_bytes)
{
    advise_shared(kind, start, len_bytes, MADV_HUGEPAGE);
}

static bool report_uffd(int rc, const char *otherwise, GError **error)
{
    if (rc == -EPERM || rc == -EACCES) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "userfaultfd is not permitted: give this user access to "
                    "/dev/userfaultfd, or CAP_SYS_PTRACE, or set the sysctl "
                    "vm.unprivileged_userfaultfd=1, or %s",
                    otherwise);
    } else if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "userfaultfd is not available: %s; it needs Linux 4.14 or "
                    "later with CONFIG_USERFAULTFD; otherwise %s",
                    g_strerror(-rc), otherwise);
    }
    return rc >= 0;
}

bool ram_range_open_uffd(int *ret_fd, UffdCaps *ret_caps, const char *otherwise,
                         GError **error)
{
    return report_uffd(uffd_open(ret_fd, ret_caps), otherwise, error);
}

bool ram_range_open_uffd_with_removals(int *ret_fd, UffdCaps *ret_caps,
                                       const char *otherwise, GError **error)
{
    return report_uffd(uffd_open_with_removals(ret_fd, ret_caps), otherwise,
                       error);
}
