/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/saved-images.h"

#include <string.h>
#include <sys/stat.h>

#include "host/disk-argument.h"
#include "host/disks.h"
#include "util/error.h"

/* A load from the manifest has overlays of its own. */
static bool is_by_hand(const LoadOptions *options)
{
    return options->manifest && !options->argv_is_saved;
}

/* Whatever they are called. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat a_st, b_st;

    return stat(a, &a_st) == 0 && stat(b, &b_st) == 0 &&
           a_st.st_dev == b_st.st_dev && a_st.st_ino == b_st.st_ino;
}

/* The image of the snapshot that disk is; NULL: none. */
static const ManifestDisk *find_image(const Manifest *manifest,
                                      const Disk *disk)
{
    for (guint i = 0; i < manifest->disks->len; i++) {
        const ManifestDisk *saved =
            &g_array_index(manifest->disks, ManifestDisk, i);

        if (saved->handling == MANIFEST_DISK_OVERLAY && disk->file &&
            is_same_file(saved->file, disk->file)) {
            return saved;
        }
    }
    return NULL;
}

static bool refuse(const LoadOptions *options, const Disk *disk,
                   const ManifestDisk *saved, GError **error)
{
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "the disk %s (%s) belongs to the snapshot, and would be "
                "written to: give the machine an overlay of it (qemu-img "
                "create -f qcow2 -b %s -F %s NEW), load without QEMU's "
                "arguments, or remove %s" MANIFEST_SUFFIX
                " to give the snapshot up",
                disk_name(disk), saved->file, saved->file,
                disk_argument_format(saved), options->given_snapshot);
    return false;
}

bool saved_images_check(const LoadOptions *options, const char *identity,
                        Rpc *qmp, const char *directory, GError **error)
{
    if (!is_by_hand(options) ||
        strcmp(options->manifest->identity, identity) != 0) {
        return true;
    }
    g_autoptr(GArray) disks = disks_query(qmp, directory, error);
    for (guint i = 0; disks && i < disks->len; i++) {
        const Disk *disk = &g_array_index(disks, Disk, i);
        const ManifestDisk *saved =
            disk_is_writable(disk) ? find_image(options->manifest, disk) : NULL;

        if (saved) {
            return refuse(options, disk, saved, error);
        }
    }
    return disks != NULL;
}

bool saved_images_ask_ahead(const LoadOptions *options, Rpc *qmp,
                            GError **error)
{
    return !is_by_hand(options) ||
           rpc_ask_ahead(qmp, "query-block", NULL, error);
}
