/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/libvirt/restore-args.h"

#include <string.h>

#include "util/error.h"

#define IMAGE_OPAQUE   "opaque=libvirt-incoming-migrate-"
#define MONITOR_ID     "id=charmonitor"
#define OWN_MONITOR_ID "id=" RESTORE_MONITOR

/* The value of the i-th argument if that is the option, or NULL. */
static const char *value_at(char *const *argv, size_t i, const char *option)
{
    return strcmp(argv[i], option) == 0 ? argv[i + 1] : NULL;
}

/* Whether value, such as "socket,id=charmonitor,fd=20", has the part. */
static bool has_part(char *const *parts, const char *part)
{
    return g_strv_contains((const char *const *)parts, part);
}

static bool has_part_that_begins(char *const *parts, const char *begin)
{
    for (size_t i = 0; parts[i]; i++) {
        if (g_str_has_prefix(parts[i], begin)) {
            return true;
        }
    }
    return false;
}

/* The number of a part such as "fd=20". */
static bool find_fd(char *const *parts, int *ret_fd)
{
    for (size_t i = 0; parts[i]; i++) {
        guint64 number;

        if (g_str_has_prefix(parts[i], "fd=") &&
            g_ascii_string_to_unsigned(parts[i] + strlen("fd="), 10, 0,
                                       G_MAXINT, &number, NULL)) {
            *ret_fd = (int)number;
            return true;
        }
    }
    return false;
}

bool restore_args_loads(char *const *argv)
{
    for (size_t i = 0; argv[i]; i++) {
        if (g_strcmp0(value_at(argv, i, "-incoming"), "defer") == 0) {
            return true;
        }
    }
    return false;
}

bool restore_args_have_plugin(char *const *argv, const char *plugin_path)
{
    for (size_t i = 0; argv[i]; i++) {
        const char *value = value_at(argv, i, "-plugin");
        size_t len = value ? strcspn(value, ",") : 0;

        if (value && len == strlen(plugin_path) &&
            strncmp(value, plugin_path, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Of one -add-fd.  A third one would be none that is known here. */
static void take_image(const char *value, RestoreArgs *args)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);

    if (has_part_that_begins(parts, IMAGE_OPAQUE) &&
        args->n_images < RESTORE_MAX_IMAGES &&
        find_fd(parts, &args->image_fds[args->n_images])) {
        args->n_images++;
    }
}

/* Of one -chardev, the i-th argument. */
static void take_chardev(const char *value, size_t i, RestoreArgs *args)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);

    if (has_part(parts, MONITOR_ID)) {
        (void)find_fd(parts, &args->listener_fd);
    } else if (has_part(parts, OWN_MONITOR_ID)) {
        args->monitor_index = i;
    }
}

static const char *what_is_missing(const RestoreArgs *args)
{
    if (args->n_images == 0) {
        return "libvirt gives QEMU no sparse image; set save_image_format = "
               "\"sparse\" in libvirt's qemu.conf (libvirt 11.2 or later)";
    }
    if (args->listener_fd < 0) {
        return "libvirt's monitor is not an inherited socket";
    }
    return args->monitor_index == 0
               ? "QEMU's arguments have no -chardev null,id=" RESTORE_MONITOR
               : NULL;
}

bool restore_args_find(char *const *argv, RestoreArgs *ret_args, GError **error)
{
    RestoreArgs args = {.listener_fd = -1};
    const char *missing;

    for (size_t i = 0; argv[i]; i++) {
        const char *set = value_at(argv, i, "-add-fd");
        const char *chardev = value_at(argv, i, "-chardev");

        if (set) {
            take_image(set, &args);
        } else if (chardev) {
            take_chardev(chardev, i + 1, &args);
        }
    }
    missing = what_is_missing(&args);
    if (missing) {
        g_set_error_literal(error, UTIL_ERROR, UTIL_ERROR_FAILED, missing);
        return false;
    }
    *ret_args = args;
    return true;
}
