/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source: Linux, Documentation/admin-guide/mm/userfaultfd.rst and
 * transhuge.rst; the names that Debian 12's headers do not have are declared
 * here.
 */
#include "host/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/kvm.h>
#include <linux/userfaultfd.h>

#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#endif

static void examine_release(GPtrArray *findings)
{
    struct utsname name;

    if (uname(&name) == 0) {
        doctor_add(findings, "kernel", DOCTOR_OK,
                   g_strdup_printf("Linux %s", name.release), NULL);
    }
}

/* A userfaultfd that also gets the faults of the kernel; -errno. */
static int open_for_kernel_faults(const char **ret_way)
{
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

    if (device >= 0) {
        int fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);

        close(device);
        *ret_way = "through /dev/userfaultfd";
        return fd >= 0 ? fd : -errno;
    }
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    *ret_way = "by the system call";
    return fd >= 0 ? fd : -errno;
}

static void examine_permission(GPtrArray *findings)
{
    const char *way;
    int fd = open_for_kernel_faults(&way);

    if (fd >= 0) {
        close(fd);
        doctor_add(findings, "userfaultfd", DOCTOR_OK,
                   g_strdup_printf("this user may serve page faults, %s", way),
                   NULL);
        return;
    }
    if (fd == -ENOSYS) {
        doctor_add(findings, "userfaultfd", DOCTOR_FAILED,
                   g_strdup("this kernel has no userfaultfd"),
                   g_strdup("use a kernel with CONFIG_USERFAULTFD"));
        return;
    }
    doctor_add(
        findings, "userfaultfd", DOCTOR_FAILED,
        g_strdup_printf("this user may not serve the kernel's page faults: %s",
                        g_strerror(-fd)),
        g_strdup("let the group kvm use the device: a file in "
                 "/etc/udev/rules.d with KERNEL==\"userfaultfd\", "
                 "GROUP=\"kvm\", MODE=\"0660\", then \"udevadm trigger\"; or "
                 "set the sysctl vm.unprivileged_userfaultfd=1; until then "
                 "use --policy full"));
}

/* Which features the kernel has; also where this user may not use them. */
static bool query_features(uint64_t *ret_features)
{
    struct uffdio_api api = {.api = UFFD_API};
    const char *way;
    int fd = (int)syscall(SYS_userfaultfd,
                          O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

    if (fd < 0) {
        fd = open_for_kernel_faults(&way);
    }
    if (fd < 0) {
        return false;
    }
    int rc = ioctl(fd, UFFDIO_API, &api);
    close(fd);
    *ret_features = api.features;
    return rc == 0;
}

static void examine_features(GPtrArray *findings)
{
    static const struct {
        const char *name;
        uint64_t feature;
        DoctorStatus without;
        const char *with_it;
        const char *without_it;
        const char *advice;
    } known[] = {
        {"shared-memory", UFFD_FEATURE_MISSING_SHMEM, DOCTOR_LIMITED,
         "guests in shared memory (memfd, tmpfs) load lazily",
         "guests in shared memory cannot be loaded lazily",
         "use Linux 4.11 or later"},
        {"profile-anonymous", UFFD_FEATURE_MOVE, DOCTOR_LIMITED,
         "savevm --profile works for ordinary guest RAM (UFFDIO_MOVE)",
         "savevm --profile does not work for ordinary guest RAM: no "
         "UFFDIO_MOVE",
         "use Linux 6.8 or later, or record with loadvm --record"},
        {"profile-shared", UFFD_FEATURE_MINOR_SHMEM, DOCTOR_LIMITED,
         "savevm --profile works for shared guest RAM (minor faults)",
         "savevm --profile does not work for shared guest RAM: no minor "
         "faults",
         "use Linux 5.14 or later, or record with loadvm --record"},
    };
    uint64_t features;

    if (!query_features(&features)) {
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        bool has = (features & known[i].feature) != 0;

        doctor_add(findings, known[i].name, has ? DOCTOR_OK : known[i].without,
                   g_strdup(has ? known[i].with_it : known[i].without_it),
                   has ? NULL : g_strdup(known[i].advice));
    }
}

/* The one of "always [madvise] never" that is chosen; for g_free(). */
static char *chosen(const char *choices)
{
    const char *begin = choices ? strchr(choices, '[') : NULL;
    const char *end = begin ? strchr(begin, ']') : NULL;

    return end ? g_strndup(begin + 1, (gsize)(end - begin - 1)) : NULL;
}

static void examine_huge_pages(GPtrArray *findings, const char *root)
{
    g_autofree char *choices =
        doctor_read(root, "/sys/kernel/mm/transparent_hugepage/enabled");
    g_autofree char *choice = chosen(choices);

    if (!choice) {
        doctor_add(findings, "huge-pages", DOCTOR_NOTE,
                   g_strdup("this kernel has no transparent huge pages"), NULL);
    } else if (strcmp(choice, "never") == 0) {
        doctor_add(findings, "huge-pages", DOCTOR_NOTE,
                   g_strdup("transparent huge pages are switched off"),
                   g_strdup("guests run faster with them: write \"madvise\" "
                            "to /sys/kernel/mm/transparent_hugepage/enabled"));
    } else {
        doctor_add(findings, "huge-pages", DOCTOR_OK,
                   g_strdup_printf("transparent huge pages: %s", choice), NULL);
    }
}

static void examine_kvm(GPtrArray *findings)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        bool absent = errno == ENOENT;

        doctor_add(findings, "kvm", DOCTOR_NOTE,
                   g_strdup_printf("/dev/kvm: %s; guests run with TCG, which "
                                   "is slow",
                                   g_strerror(errno)),
                   g_strdup(absent ? "enable virtualisation in the firmware, "
                                     "or nested virtualisation"
                                   : "add this user to the group kvm"));
        return;
    }
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    close(fd);
    doctor_add(
        findings, "kvm", DOCTOR_OK,
        g_strdup_printf("/dev/kvm can be used (API version %d)", version),
        NULL);
}

void doctor_examine_kernel(GPtrArray *findings, const char *root)
{
    examine_release(findings);
    examine_permission(findings);
    examine_features(findings);
    examine_huge_pages(findings, root);
    examine_kvm(findings);
}
