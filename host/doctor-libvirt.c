/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source: libvirt, src/qemu/qemu.conf.in and
 * src/security/apparmor/libvirt-qemu.in.
 */
#include "host/doctor.h"

#include <grp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define QEMU_CONF "/etc/libvirt/qemu.conf"
#define HOOKS     "/etc/libvirt/hooks/qemu.d"
#define DEVICE    "/dev/userfaultfd"

/* QEMU's user is in this group, for the sake of /dev/kvm. */
#define GROUP "kvm"

/* libvirt reads the first from Debian 13 on. */
static const char *const apparmor_files[] = {
    "/etc/apparmor.d/abstractions/libvirt-qemu.d/preheat",
    "/etc/apparmor.d/local/abstractions/libvirt-qemu",
};

/* The value of key in a file of lines such as key = "value"; for g_free(). */
static char *setting(const char *text, const char *key)
{
    g_autofree char *pattern =
        g_strdup_printf("^[ \\t]*%s[ \\t]*=[ \\t]*\"([^\"]*)\"", key);
    g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_MULTILINE, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;

    return g_regex_match(regex, text, 0, &match) ? g_match_info_fetch(match, 1)
                                                 : NULL;
}

static void examine_format(GPtrArray *findings, const char *root)
{
    g_autofree char *text = doctor_read(root, QEMU_CONF);
    g_autofree char *format = text ? setting(text, "save_image_format") : NULL;

    if (!text) {
        doctor_add(findings, "libvirt-save-format", DOCTOR_NOTE,
                   g_strdup(QEMU_CONF " cannot be read by this user"),
                   g_strdup("run preheat doctor as root to check it"));
    } else if (g_strcmp0(format, "sparse") == 0) {
        doctor_add(findings, "libvirt-save-format", DOCTOR_OK,
                   g_strdup("virsh save writes sparse images, which load "
                            "lazily"),
                   NULL);
    } else {
        doctor_add(findings, "libvirt-save-format", DOCTOR_LIMITED,
                   g_strdup_printf("virsh save writes %s images, which do not "
                                   "load lazily",
                                   format ? format : "raw"),
                   g_strdup("set save_image_format = \"sparse\" in " QEMU_CONF
                            " (libvirt 11.2 or later)"));
    }
}

static bool apparmor_grants(const char *root)
{
    bool grants = false;

    for (size_t i = 0; i < G_N_ELEMENTS(apparmor_files) && !grants; i++) {
        g_autofree char *text = doctor_read(root, apparmor_files[i]);

        grants = text && strstr(text, DEVICE);
    }
    return grants;
}

static void examine_apparmor(GPtrArray *findings, const char *root)
{
    g_autofree char *enabled =
        doctor_read(root, "/sys/module/apparmor/parameters/enabled");

    if (g_strcmp0(enabled, "Y") != 0) {
        doctor_add(findings, "libvirt-apparmor", DOCTOR_OK,
                   g_strdup("AppArmor is off, and does not confine QEMU"),
                   NULL);
    } else if (apparmor_grants(root)) {
        doctor_add(findings, "libvirt-apparmor", DOCTOR_OK,
                   g_strdup("AppArmor lets libvirt's QEMU open "
                            "/dev/userfaultfd"),
                   NULL);
    } else {
        doctor_add(findings, "libvirt-apparmor", DOCTOR_LIMITED,
                   g_strdup("AppArmor does not let libvirt's QEMU open "
                            "/dev/userfaultfd"),
                   g_strdup_printf("add the rule \"" DEVICE
                                   " rw,\" to %s (see docs/libvirt.md)",
                                   apparmor_files[0]));
    }
}

static bool group_may_open(const struct stat *device)
{
    const struct group *group = getgrnam(GROUP);
    const mode_t by_group = S_IRGRP | S_IWGRP;
    const mode_t by_all = S_IROTH | S_IWOTH;

    return (device->st_mode & by_all) == by_all ||
           (group && device->st_gid == group->gr_gid &&
            (device->st_mode & by_group) == by_group);
}

/* Of the system's QEMU, which is not ours. */
static void examine_device(GPtrArray *findings, const char *root)
{
    g_autofree char *path = g_strconcat(root, DEVICE, NULL);
    struct stat device;

    if (stat(path, &device) < 0) {
        doctor_add(findings, "libvirt-userfaultfd", DOCTOR_LIMITED,
                   g_strdup("there is no " DEVICE " for libvirt's QEMU"),
                   g_strdup("Linux 6.1 or later has it"));
    } else if (group_may_open(&device)) {
        doctor_add(findings, "libvirt-userfaultfd", DOCTOR_OK,
                   g_strdup("libvirt's QEMU may open " DEVICE
                            ", if its user is in the group " GROUP),
                   NULL);
    } else {
        doctor_add(findings, "libvirt-userfaultfd", DOCTOR_LIMITED,
                   g_strdup("the group " GROUP " may not open " DEVICE
                            ": libvirt's QEMU loads in full"),
                   g_strdup("install preheat's udev rule (60-preheat.rules), "
                            "and run udevadm trigger "
                            "--sysname-match=userfaultfd"));
    }
}

static void examine_hook(GPtrArray *findings, const char *root)
{
    g_autofree char *path = g_strconcat(root, HOOKS "/preheat", NULL);

    if (g_file_test(path, G_FILE_TEST_IS_EXECUTABLE)) {
        doctor_add(findings, "libvirt-hook", DOCTOR_OK,
                   g_strdup("libvirt lets preheat restore the domains that ask "
                            "for it"),
                   NULL);
    } else {
        doctor_add(findings, "libvirt-hook", DOCTOR_NOTE,
                   g_strdup("libvirt restores domains without preheat: its "
                            "hook is not in " HOOKS),
                   g_strdup("copy preheat's qemu-hook to " HOOKS
                            "/preheat (see docs/libvirt.md)"));
    }
}

void doctor_examine_libvirt(GPtrArray *findings, const char *root)
{
    g_autofree char *directory = g_strconcat(root, "/etc/libvirt", NULL);

    if (!g_file_test(directory, G_FILE_TEST_IS_DIR)) {
        doctor_add(findings, "libvirt", DOCTOR_NOTE,
                   g_strdup("libvirt is not installed"), NULL);
        return;
    }
    examine_format(findings, root);
    examine_apparmor(findings, root);
    examine_device(findings, root);
    examine_hook(findings, root);
}
