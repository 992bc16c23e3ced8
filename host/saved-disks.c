/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/saved-disks.h"

#include <string.h>
#include <unistd.h>

#include "host/disk-argument.h"
#include "host/disks.h"
#include "host/image-state.h"
#include "host/qemu-command.h"
#include "util/error.h"
#include "util/file.h"

static bool is_writable(const ManifestDisk *disk)
{
    return disk->handling != MANIFEST_DISK_READ_ONLY;
}

/* qemu-img that belongs to the QEMU, or the one in PATH; for g_free(). */
static char *find_qemu_img(const Manifest *manifest, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(manifest->qemu_program);
    g_autofree char *beside = g_build_filename(directory, "qemu-img", NULL);

    if (access(beside, X_OK) == 0) {
        return g_steal_pointer(&beside);
    }
    char *found = g_find_program_in_path("qemu-img");
    if (!found) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "qemu-img, which creates the overlays of the disks, is "
                    "neither in %s nor in PATH (Debian: qemu-utils)",
                    directory);
    }
    return found;
}

/* Not by GSubprocess, which starts a thread: none may be there before QEMU's
 * launcher. */
static bool run_qemu_img(const char *qemu_img, const ManifestDisk *disk,
                         const char *overlay, GError **error)
{
    const char *const argv[] = {
        qemu_img,   "create", "-q",
        "-f",       "qcow2",  "-b",
        disk->file, "-F",     disk_argument_format(disk),
        overlay,    NULL};
    g_autofree char *err = NULL;
    int wait_status;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL,
                      NULL, NULL, NULL, &err, &wait_status, error)) {
        return false;
    }
    if (wait_status != 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "%s",
                    err[0] ? g_strchomp(err) : "qemu-img failed");
        return false;
    }
    return true;
}

/* "drive0.qcow2"; the name of a node may begin with "#", a QOM path has
 * slashes. */
static char *overlay_name(const ManifestDisk *disk)
{
    const char *name = disk->device ? disk->device : disk->node;
    char *file = g_strdup_printf("%s.qcow2", name + strspn(name, "#/"));

    return g_strdelimit(file, "/", '-');
}

static bool add_overlay(SavedBuild *build, const ManifestDisk *disk,
                        const char *qemu_img, GError **error)
{
    g_autofree char *name = overlay_name(disk);
    g_autofree char *overlay = saved_build_place(build, name, error);

    if (!overlay ||
        !disk_argument_set(build->arguments, disk, overlay, error)) {
        return false;
    }
    if (!run_qemu_img(qemu_img, disk, overlay, error)) {
        g_prefix_error(error, "disk %s: cannot create an overlay of %s: ",
                       manifest_disk_name(disk), disk->file);
        return false;
    }
    file_hide_like(overlay, disk->file);
    saved_build_tell(build, "disk", manifest_disk_name(disk), overlay);
    return true;
}

static const ManifestDisk *get_disk(const SavedBuild *build, guint i)
{
    return &g_array_index(build->manifest->disks, ManifestDisk, i);
}

bool saved_disks_check(const SavedBuild *build, GError **error)
{
    for (guint i = 0; i < build->manifest->disks->len; i++) {
        const ManifestDisk *disk = get_disk(build, i);

        if (!disk_argument_check(disk, error) ||
            !image_state_check(disk, error)) {
            return false;
        }
    }
    return true;
}

void saved_disks_warn(const SavedBuild *build)
{
    const Manifest *manifest = build->manifest;
    g_autoptr(GArray) options = qemu_command_options(manifest->qemu_arguments);

    for (guint i = 0; i < options->len; i++) {
        const QemuOption *option = &g_array_index(options, QemuOption, i);
        g_autofree char *file = qemu_command_disk_file(option);
        g_autofree char *path =
            file ? disks_absolute_path(file, manifest->qemu_directory) : NULL;
        bool is_known = path == NULL;

        for (guint k = 0; k < manifest->disks->len; k++) {
            is_known =
                is_known || get_disk(build, k)->argument == option->argument;
        }
        if (!is_known) {
            saved_build_say(
                build,
                "warning: the saved QEMU's arguments name %s, which was no "
                "longer a disk of the guest when it was saved",
                path);
        }
    }
}

bool saved_disks_add_overlays(SavedBuild *build, GError **error)
{
    g_autofree char *qemu_img = NULL;

    for (guint i = 0; i < build->manifest->disks->len; i++) {
        const ManifestDisk *disk = get_disk(build, i);

        if (!is_writable(disk)) {
            continue;
        }
        if (!qemu_img) {
            qemu_img = find_qemu_img(build->manifest, error);
        }
        if (!qemu_img || !add_overlay(build, disk, qemu_img, error)) {
            return false;
        }
    }
    return true;
}
