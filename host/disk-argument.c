/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/disk-argument.h"

#include <string.h>

#include <jansson.h>

#include "host/qemu-command.h"
#include "host/qemu-values.h"
#include "util/error.h"

/* What QEMU calls the formats of images.  Its other drivers are filters, or
 * say where an image lies. */
static const char *const formats[] = {"raw", "qcow2", "qcow", "qed", "vmdk",
                                      "vdi", "vpc",   "vhdx", NULL};

/* Keys (or their beginnings) that belong to one image and that no other can
 * have. */
static const char *const bound_keys[] = {"offset",    "size",      "backing",
                                         "encrypt.",  "encrypt",   "key-secret",
                                         "data-file", "data-file."};

static bool refuse(const ManifestDisk *disk, GError **error, const char *format,
                   ...) G_GNUC_PRINTF(3, 4);

static bool refuse(const ManifestDisk *disk, GError **error, const char *format,
                   ...)
{
    g_autofree char *why = NULL;
    va_list args;

    va_start(args, format);
    why = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "disk %s: cannot change QEMU's arguments to open an overlay of "
                "%s: %s.  Create one (qemu-img create -b), and give QEMU's "
                "arguments after \"--\"",
                manifest_disk_name(disk), disk->file, why);
    return false;
}

static void replace(char **argument, char *with)
{
    g_free(*argument);
    *argument = with;
}

static void set(char **argument, const char *key, const char *value)
{
    replace(argument, qemu_values_set(*argument, key, value));
}

static bool has(const char *argument, const char *key)
{
    g_autofree char *value = qemu_values_get(argument, key);

    return value != NULL;
}

const char *disk_argument_format(const ManifestDisk *disk)
{
    return g_strv_contains(formats, disk->format) ? disk->format : "raw";
}

/* ---- the node of the format ---- */

static bool is_bound(const char *key)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bound_keys); i++) {
        size_t len = strlen(bound_keys[i]);

        if (bound_keys[i][len - 1] == '.' ? g_str_has_prefix(key, bound_keys[i])
                                          : strcmp(key, bound_keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The first key of an argument that belongs to its image, for g_free(); NULL:
 * there is none. */
static char *find_bound_key(const char *argument)
{
    char *found = NULL;

    if (argument[0] == '{') {
        json_t *root = json_loads(argument, 0, NULL);
        const char *key;
        json_t *value;

        json_object_foreach(root, key, value)
        {
            if (!found && is_bound(key)) {
                found = g_strdup(key);
            }
        }
        json_decref(root);
        return found;
    }
    while (*argument && !found) {
        g_autofree char *part = qemu_values_take(&argument);

        part[strcspn(part, "=")] = '\0';
        found = is_bound(part) ? g_steal_pointer(&part) : NULL;
    }
    return found;
}

/* key: "driver", or with -drive "format". */
static bool set_format(char **argument, const char *key,
                       const ManifestDisk *disk, GError **error)
{
    g_autofree char *driver = qemu_values_get(*argument, key);
    g_autofree char *bound = find_bound_key(*argument);

    if (bound) {
        return refuse(disk, error,
                      "\"%s\" has %s, which applies to that image only",
                      *argument, bound);
    }
    if (driver && !g_strv_contains(formats, driver)) {
        return refuse(disk, error,
                      "\"%s\" is not about an image but about \"%s\"",
                      *argument, driver);
    }
    set(argument, key, "qcow2");
    return true;
}

/* An overlay is a file also where the image is a device of the host. */
static void set_file_driver(char **argument, const char *key)
{
    g_autofree char *driver = qemu_values_get(*argument, key);

    if (g_strcmp0(driver, "host_device") == 0) {
        set(argument, key, "file");
    }
}

/* ---- options ---- */

static bool set_drive(char **argument, const ManifestDisk *disk,
                      const char *overlay, GError **error)
{
    const char *format = has(*argument, "driver") ? "driver" : "format";

    if (!set_format(argument, format, disk, error)) {
        return false;
    }
    set_file_driver(argument, "file.driver");
    set(argument, has(*argument, "file") ? "file" : "file.filename", overlay);
    return true;
}

/* The -blockdev whose file is the node of that name; NULL: there is none. */
static char **find_above(char **argv, const char *node)
{
    g_autoptr(GArray) options = qemu_command_options(argv);

    for (guint i = 0; node && i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);
        bool is_blockdev =
            strcmp(option->name, "blockdev") == 0 && option->value;
        g_autofree char *file =
            is_blockdev ? qemu_values_get(option->value, "file") : NULL;

        if (g_strcmp0(file, node) == 0) {
            return &argv[option->argument];
        }
    }
    return NULL;
}

static bool set_two_nodes(char **argv, const ManifestDisk *disk,
                          const char *overlay, GError **error)
{
    char **argument = &argv[disk->argument];
    g_autofree char *node = qemu_values_get(*argument, "node-name");
    char **above = find_above(argv, node);
    g_autofree char *bound = find_bound_key(*argument);

    if (!above) {
        return refuse(disk, error, "\"%s\" has no format node above it",
                      *argument);
    }
    if (bound) {
        return refuse(disk, error,
                      "\"%s\" has %s, which applies to that image only",
                      *argument, bound);
    }
    if (!set_format(above, "driver", disk, error)) {
        return false;
    }
    set_file_driver(argument, "driver");
    set(argument, "filename", overlay);
    return true;
}

static bool set_blockdev(char **argv, const ManifestDisk *disk,
                         const char *overlay, GError **error)
{
    char **argument = &argv[disk->argument];

    if (has(*argument, "filename")) {
        return set_two_nodes(argv, disk, overlay, error);
    }
    if (!set_format(argument, "driver", disk, error)) {
        return false;
    }
    set_file_driver(argument, "file.driver");
    set(argument, "file.filename", overlay);
    return true;
}

bool disk_argument_check(const ManifestDisk *disk, GError **error)
{
    if (disk->has_argument) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "disk %s: the saved QEMU's arguments do not name %s, because "
                "it was plugged in later.  Give QEMU's arguments after \"--\"",
                manifest_disk_name(disk), disk->file);
    return false;
}

bool disk_argument_set(char **argv, const ManifestDisk *disk,
                       const char *overlay, GError **error)
{
    g_autoptr(GArray) options = qemu_command_options(argv);
    const QemuOption *option = qemu_command_find(options, disk->argument);
    g_autofree char *file = option ? qemu_command_disk_file(option) : NULL;

    if (!file) {
        return refuse(disk, error, "\"%s\" names no disk",
                      argv[disk->argument]);
    }
    if (strcmp(option->name, "drive") == 0) {
        return set_drive(&argv[disk->argument], disk, overlay, error);
    }
    if (strcmp(option->name, "blockdev") == 0) {
        return set_blockdev(argv, disk, overlay, error);
    }
    /* QEMU finds out by itself which format that is. */
    replace(&argv[disk->argument], g_strdup(overlay));
    return true;
}
