/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/snapshot-removal.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/pack.h"
#include "formats/qcow2-backing.h"
#include "host/disks.h"
#include "host/image-state.h"
#include "host/saved-machine.h"
#include "host/snapshot-list.h"
#include "util/error.h"

/* What savevm --profile calls the order. */
#define ORDER_SUFFIX ".order"

static void clear_kept(gpointer data)
{
    KeptFile *kept = data;

    g_free(kept->path);
    g_free(kept->reason);
}

void snapshot_removal_free(SnapshotRemoval *removal)
{
    if (removal) {
        g_ptr_array_unref(removal->files);
        g_array_unref(removal->kept);
        g_free(removal);
    }
}

static void keep(SnapshotRemoval *removal, const char *path, char *reason)
{
    const KeptFile kept = {g_strdup(path), reason};

    g_array_append_val(removal->kept, kept);
}

static void add_existing(SnapshotRemoval *removal, const char *path)
{
    if (g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_ptr_array_add(removal->files, g_strdup(path));
    }
}

/* ---- who needs a file ---- */

/* Whatever they are called. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat a_st, b_st;

    return strcmp(a, b) == 0 ||
           (stat(a, &a_st) == 0 && stat(b, &b_st) == 0 &&
            a_st.st_dev == b_st.st_dev && a_st.st_ino == b_st.st_ino);
}

static bool manifest_needs_image(const Manifest *manifest, const char *image)
{
    for (guint i = 0; i < manifest->disks->len; i++) {
        if (is_same_file(g_array_index(manifest->disks, ManifestDisk, i).file,
                         image)) {
            return true;
        }
    }
    return false;
}

/* Whether the image at path lies on image; ret_reason then says so, and also
 * where that cannot be told. */
static bool lies_on(const char *path, const char *image, char **ret_reason)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autoptr(GError) error = NULL;
    g_autoptr(ByteSource) source = byte_source_open(path, &error);
    g_autofree char *name = NULL;
    g_autofree char *below = NULL;

    if (!source || !qcow2_backing_read(source, &name, &error)) {
        *ret_reason = g_strdup_printf("what needs it cannot be determined: %s",
                                      error->message);
        return true;
    }
    below = name ? disks_absolute_path(name, folder) : NULL;
    if (below && is_same_file(below, image)) {
        *ret_reason = g_strdup_printf("%s is based on it", path);
        return true;
    }
    if (name && g_str_has_prefix(name, "json:") && !below) {
        *ret_reason = g_strdup_printf("%s may be based on it (%s)", path, name);
        return true;
    }
    return false;
}

/* Whether the file at path, a manifest or an image, needs image. */
static bool needs_image(const char *path, const char *image, char **ret_reason)
{
    g_autoptr(Manifest) manifest = g_str_has_suffix(path, MANIFEST_SUFFIX)
                                       ? manifest_load(path, NULL)
                                       : NULL;

    if (!manifest) {
        return lies_on(path, image, ret_reason);
    }
    if (manifest_needs_image(manifest, image)) {
        *ret_reason = g_strdup_printf("%s needs it", path);
        return true;
    }
    return false;
}

/* own: the manifest of the snapshot that goes. */
static bool folder_needs_image(const char *folder, const char *own,
                               const char *image, char **ret_reason)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
    bool found = false;
    const char *name;

    if (!dir) {
        *ret_reason = g_strdup(error->message);
        return true;
    }
    while (!found && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);

        found = !is_same_file(path, own) && !is_same_file(path, image) &&
                g_file_test(path, G_FILE_TEST_IS_REGULAR) &&
                needs_image(path, image, ret_reason);
    }
    return found;
}

static bool is_open(const char *image, char **ret_reason)
{
    ImageUser user;

    if (!image_state_is_used(image, true, &user)) {
        return false;
    }
    *ret_reason = user.pid != 0 ? g_strdup_printf("process %d (%s) has it open",
                                                  (int)user.pid, user.name)
                                : g_strdup("a QEMU has it open");
    return true;
}

/* ---- the parts of a snapshot ---- */

/* Why an image stays, for g_free(); NULL: it does not. */
static char *why_image_stays(const char *image, const char *own,
                             bool with_images)
{
    g_autofree char *folder = g_path_get_dirname(image);
    g_autofree char *own_folder = g_path_get_dirname(own);
    char *reason = NULL;

    if (!saved_machine_is_overlay(image)) {
        return g_strdup("it was not made by a save");
    }
    if (folder_needs_image(folder, own, image, &reason) ||
        (strcmp(folder, own_folder) != 0 &&
         folder_needs_image(own_folder, own, image, &reason)) ||
        is_open(image, &reason)) {
        return reason;
    }
    return with_images
               ? NULL
               : g_strdup("nothing here needs it; use --images to remove it");
}

static void add_images(SnapshotRemoval *removal, const Manifest *manifest,
                       const char *own, bool with_images)
{
    for (guint i = 0; i < manifest->disks->len; i++) {
        const ManifestDisk *disk =
            &g_array_index(manifest->disks, ManifestDisk, i);
        char *reason;

        if (disk->handling != MANIFEST_DISK_OVERLAY ||
            !g_file_test(disk->file, G_FILE_TEST_EXISTS)) {
            continue;
        }
        reason = why_image_stays(disk->file, own, with_images);
        if (reason) {
            keep(removal, disk->file, reason);
        } else {
            g_ptr_array_add(removal->files, g_strdup(disk->file));
        }
    }
}

static bool is_order_of(const ListedSnapshot *snapshot, const char *name)
{
    return snapshot->manifest &&
           g_strcmp0(snapshot->manifest->order, name) == 0;
}

/* Another snapshot may have the same order. */
static char *why_order_stays(const char *folder, const char *own,
                             const char *name)
{
    g_autoptr(GPtrArray) list = snapshot_list(folder, NULL);

    for (guint i = 0; list && i < list->len; i++) {
        const ListedSnapshot *other = list->pdata[i];

        if (strcmp(other->path, own) != 0 && is_order_of(other, name)) {
            return g_strdup_printf("%s needs it", other->path);
        }
    }
    return NULL;
}

/* With its pack, in which the guest's memory is as well. */
static void add_order(SnapshotRemoval *removal, const ListedSnapshot *snapshot)
{
    g_autofree char *folder = g_path_get_dirname(snapshot->path);
    g_autofree char *usual = g_strconcat(snapshot->name, ORDER_SUFFIX, NULL);
    const char *name = snapshot->manifest ? snapshot->manifest->order : usual;
    g_autofree char *path = name ? g_build_filename(folder, name, NULL) : NULL;
    g_autofree char *pack = path ? g_strconcat(path, PACK_SUFFIX, NULL) : NULL;

    if (!path || (!g_file_test(path, G_FILE_TEST_EXISTS) &&
                  !g_file_test(pack, G_FILE_TEST_EXISTS))) {
        return;
    }
    char *reason = why_order_stays(folder, snapshot->path, name);
    if (reason) {
        keep(removal, path, reason);
    } else {
        add_existing(removal, path);
        add_existing(removal, pack);
    }
}

/* Without it nobody knows which files belong to it. */
static bool check_manifest(const ListedSnapshot *snapshot, const char *manifest,
                           GError **error)
{
    if (snapshot->manifest || !g_file_test(manifest, G_FILE_TEST_EXISTS)) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "%s: what belongs to it cannot be determined: %s",
                snapshot->path, snapshot->problem);
    return false;
}

SnapshotRemoval *snapshot_removal_new(const char *path, bool with_images,
                                      GError **error)
{
    g_autofree char *absolute = g_canonicalize_filename(path, NULL);
    g_autofree char *manifest = manifest_path(absolute);
    ListedSnapshot *snapshot = snapshot_list_look(absolute);
    g_autoptr(SnapshotRemoval) removal = NULL;

    if (!snapshot) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: not a snapshot: nothing was removed", path);
        return NULL;
    }
    if (check_manifest(snapshot, manifest, error)) {
        removal = g_new0(SnapshotRemoval, 1);
        removal->files = g_ptr_array_new_with_free_func(g_free);
        removal->kept = g_array_new(FALSE, FALSE, sizeof(KeptFile));
        g_array_set_clear_func(removal->kept, clear_kept);
        add_existing(removal, absolute);
        add_order(removal, snapshot);
        if (snapshot->manifest) {
            add_images(removal, snapshot->manifest, manifest, with_images);
        }
        add_existing(removal, manifest);
    }
    snapshot_list_free_entry(snapshot);
    return g_steal_pointer(&removal);
}

bool snapshot_removal_execute(const SnapshotRemoval *removal, GError **error)
{
    for (guint i = 0; i < removal->files->len; i++) {
        const char *path = removal->files->pdata[i];

        if (unlink(path) < 0 && errno != ENOENT) {
            util_error_set_errno(error, errno, "%s: cannot remove it", path);
            return false;
        }
    }
    return true;
}
