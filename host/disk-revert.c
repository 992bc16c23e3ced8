/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/disk-revert.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/qcow2.h"
#include "host/disks.h"
#include "util/error.h"

/* QEMU locks a byte of an image for each thing that it does to it, and one for
 * each that nobody else may do.  Source: QEMU, block/file-posix.c,
 * RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE, and BLK_PERM_WRITE. */
#define LOCK_WRITES          101
#define LOCK_LETS_NONE_WRITE 201

typedef struct Revert {
    Rpc *qmp;
    char *name; /* of the snapshot: what was given may be its ID */
    const char *disk;
    struct stat disk_stat;
    GArray *disks;  /* of Disk */
    GPtrArray *ids; /* of the snapshot in each writable disk */
    const char *qemu;
} Revert;

static void revert_clear(Revert *revert)
{
    g_free(revert->name);
    g_clear_pointer(&revert->disks, g_array_unref);
    g_clear_pointer(&revert->ids, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Revert, revert_clear)

static bool find_name(Revert *revert, const char *tag, int disk_fd,
                      GError **error)
{
    g_autoptr(ByteSource) source =
        byte_source_new_fd(disk_fd, revert->disk, error);
    g_autoptr(Qcow2) qcow2 = source ? qcow2_open(source, error) : NULL;
    const Qcow2Snapshot *snapshot =
        qcow2 ? qcow2_find_snapshot(qcow2, tag, error) : NULL;

    if (!snapshot) {
        return false;
    }
    revert->name = g_strdup(snapshot->name);
    if (fstat(disk_fd, &revert->disk_stat) < 0) {
        util_error_set_errno(error, errno, "%s: cannot examine it",
                             revert->disk);
        return false;
    }
    return true;
}

/* ---- each disk ---- */

static bool check_kind(const Disk *disk, const char *name, GError **error)
{
    if (disk->file && g_strcmp0(disk->format, "qcow2") == 0) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "the disk %s (%s) is writable but not a qcow2 file (%s), so it "
                "cannot be reverted to the snapshot %s; QEMU's own loadvm "
                "refuses that as well",
                disk_name(disk), disk->shown, disk->format, name);
    return false;
}

/* Whether somebody holds that lock. */
static bool is_locked(int fd, off_t off_bytes)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = off_bytes,
                         .l_len = 1};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool check_unused(const Disk *disk, int fd, GError **error)
{
    if (!is_locked(fd, LOCK_WRITES) && !is_locked(fd, LOCK_LETS_NONE_WRITE)) {
        return true;
    }
    g_set_error(
        error, UTIL_ERROR, UTIL_ERROR_FAILED,
        "the disk %s (%s) is in use by another program, probably a QEMU; end "
        "that first, because the disk is reverted to the snapshot",
        disk_name(disk), disk->file);
    return false;
}

/* ret_id: the snapshot's in this disk, for g_free(). */
static bool check_disk(const Revert *revert, const Disk *disk, char **ret_id,
                       GError **error)
{
    g_autoptr(ByteSource) source = byte_source_open(disk->file, error);
    g_autoptr(Qcow2) qcow2 = source ? qcow2_open(source, error) : NULL;
    const Qcow2Snapshot *snapshot =
        qcow2 ? qcow2_find_snapshot(qcow2, revert->name, error) : NULL;

    if (!snapshot) {
        g_prefix_error(error, "the disk %s: ", disk_name(disk));
        return false;
    }
    *ret_id = g_strdup(snapshot->id);
    return check_unused(disk, source->fd, error);
}

static bool is_the_disk(const Revert *revert, const Disk *disk)
{
    struct stat file;

    return stat(disk->file, &file) == 0 &&
           file.st_dev == revert->disk_stat.st_dev &&
           file.st_ino == revert->disk_stat.st_ino;
}

static bool check_disks(Revert *revert, GError **error)
{
    bool has_disk = false;

    revert->ids = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < revert->disks->len; i++) {
        const Disk *disk = &g_array_index(revert->disks, Disk, i);
        char *id = NULL;

        if (!disk_is_writable(disk)) {
            continue;
        }
        if (!check_kind(disk, revert->name, error) ||
            !check_disk(revert, disk, &id, error)) {
            g_free(id);
            return false;
        }
        g_ptr_array_add(revert->ids, id);
        has_disk |= is_the_disk(revert, disk);
    }
    if (!has_disk) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s is not a writable disk of this machine: start QEMU "
                    "with the disks that it was saved with",
                    revert->disk);
    }
    return has_disk;
}

/* ---- qemu-img ---- */

static char *find_qemu_img(const char *qemu, GError **error)
{
    g_autofree char *found = qemu ? g_find_program_in_path(qemu) : NULL;
    g_autofree char *directory = found ? g_path_get_dirname(found) : NULL;
    g_autofree char *beside =
        directory ? g_build_filename(directory, "qemu-img", NULL) : NULL;
    char *program = beside && access(beside, X_OK) == 0
                        ? g_steal_pointer(&beside)
                        : g_find_program_in_path("qemu-img");

    if (!program) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "qemu-img, which reverts a disk to a snapshot, is not "
                    "installed (Debian: qemu-utils)");
    }
    return program;
}

/* By its ID, which qemu-img prefers to a name. */
static bool revert_disk(const char *qemu_img, const Disk *disk, const char *id,
                        GError **error)
{
    const char *argv[] = {qemu_img, "snapshot", "-q", "-a",
                          id,       disk->file, NULL};
    g_autofree char *said = NULL;
    int status;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL,
                      NULL, NULL, NULL, &said, &status, error)) {
        return false;
    }
    if (g_spawn_check_wait_status(status, NULL)) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "the disk %s (%s) cannot be reverted to the snapshot: %s",
                disk_name(disk), disk->file, g_strstrip(said));
    return false;
}

static bool revert_all(const Revert *revert, GError **error)
{
    g_autofree char *qemu_img = find_qemu_img(revert->qemu, error);
    guint n = 0;

    for (guint i = 0; qemu_img && i < revert->disks->len; i++) {
        const Disk *disk = &g_array_index(revert->disks, Disk, i);

        if (disk_is_writable(disk) &&
            !revert_disk(qemu_img, disk, revert->ids->pdata[n++], error)) {
            return false;
        }
    }
    return qemu_img != NULL;
}

bool disk_revert(Rpc *qmp, const char *tag, int disk_fd, const char *disk,
                 const char *directory, const char *qemu, GError **error)
{
    g_auto(Revert) revert = {.qmp = qmp, .disk = disk, .qemu = qemu};

    if (!find_name(&revert, tag, disk_fd, error)) {
        return false;
    }
    revert.disks = disks_query(qmp, directory, error);
    return revert.disks && check_disks(&revert, error) &&
           revert_all(&revert, error);
}
