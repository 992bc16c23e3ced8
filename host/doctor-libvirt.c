/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source: libvirt, src/qemu/qemu.conf.in and
 * src/security/apparmor/libvirt-qemu.in.
 */
#include "host/doctor.h"

#include <stdbool.h>
#include <string.h>

#define QEMU_CONF      "/etc/libvirt/qemu.conf"
#define APPARMOR_LOCAL "/etc/apparmor.d/local/abstractions/libvirt-qemu"

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
                   g_strdup("run preheat doctor as root to see it"));
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

static void examine_apparmor(GPtrArray *findings, const char *root)
{
    g_autofree char *enabled =
        doctor_read(root, "/sys/module/apparmor/parameters/enabled");
    g_autofree char *local = doctor_read(root, APPARMOR_LOCAL);

    if (g_strcmp0(enabled, "Y") != 0) {
        doctor_add(findings, "libvirt-apparmor", DOCTOR_OK,
                   g_strdup("AppArmor is off, and does not confine QEMU"),
                   NULL);
    } else if (local && strstr(local, "/dev/userfaultfd")) {
        doctor_add(findings, "libvirt-apparmor", DOCTOR_OK,
                   g_strdup("AppArmor lets libvirt's QEMU open "
                            "/dev/userfaultfd"),
                   NULL);
    } else {
        doctor_add(findings, "libvirt-apparmor", DOCTOR_LIMITED,
                   g_strdup("AppArmor does not let libvirt's QEMU open "
                            "/dev/userfaultfd"),
                   g_strdup("add the line \"/dev/userfaultfd rw,\" "
                            "to " APPARMOR_LOCAL));
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
}
