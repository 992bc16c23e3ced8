/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/image-state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

/* QEMU's bytes: permissions that somebody has, and others that somebody bears
 * with; which of the first is for writing. */
#define PERMISSIONS_OFF  100
#define ALL_LOCKS_LEN    200
#define WRITE_PERMISSION 1
#define ONE_PERMISSION   1

/* ---- who uses it ---- */

static bool has_lock(int fd, off_t off_bytes, off_t len_bytes)
{
    /* Conflicts with a lock of any kind; it is never taken. */
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = off_bytes,
                         .l_len = len_bytes};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool opens_for_writing(const char *process, const char *fd)
{
    g_autofree char *path =
        g_build_filename("/proc", process, "fdinfo", fd, NULL);
    g_autofree char *text = NULL;
    const char *flags;

    return g_file_get_contents(path, &text, NULL, NULL) &&
           (flags = strstr(text, "flags:")) &&
           (strtol(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

static bool process_has(const char *process, const struct stat *image,
                        bool any_use)
{
    g_autofree char *folder = g_build_filename("/proc", process, "fd", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *fd;

    while (dir && (fd = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, fd, NULL);
        struct stat st;

        if (stat(path, &st) == 0 && st.st_dev == image->st_dev &&
            st.st_ino == image->st_ino &&
            (any_use || opens_for_writing(process, fd))) {
            return true;
        }
    }
    return false;
}

static void set_user(ImageUser *user, const char *process)
{
    g_autofree char *path = g_build_filename("/proc", process, "comm", NULL);
    g_autofree char *name = NULL;

    user->pid = atoi(process);
    if (g_file_get_contents(path, &name, NULL, NULL)) {
        g_strlcpy(user->name, g_strchomp(name), sizeof(user->name));
    }
}

/* A lock does not tell whose it is.  Processes that we may not look into are
 * left out. */
static void find_user(int fd, bool any_use, ImageUser *ret_user)
{
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    g_autofree char *own = g_strdup_printf("%d", (int)getpid());
    const char *process;
    struct stat image;

    *ret_user = (ImageUser){0};
    while (dir && fstat(fd, &image) == 0 && (process = g_dir_read_name(dir))) {
        if (g_ascii_isdigit(process[0]) && strcmp(process, own) != 0 &&
            process_has(process, &image, any_use)) {
            set_user(ret_user, process);
            return;
        }
    }
}

bool image_state_is_used(const char *path, bool any_use, ImageUser *ret_user)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool used = false;

    if (fd < 0) {
        return false;
    }
    used = any_use ? has_lock(fd, PERMISSIONS_OFF, ALL_LOCKS_LEN)
                   : has_lock(fd, PERMISSIONS_OFF + WRITE_PERMISSION,
                              ONE_PERMISSION);
    if (used || any_use) {
        find_user(fd, any_use, ret_user);
    }
    close(fd);
    return used || (any_use && ret_user->pid != 0);
}

/* ---- what it was ---- */

static bool refuse(const ManifestDisk *disk, GError **error, const char *format,
                   ...) G_GNUC_PRINTF(3, 4);

static bool refuse(const ManifestDisk *disk, GError **error, const char *format,
                   ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "disk %s: %s %s",
                manifest_disk_name(disk), disk->file, text);
    return false;
}

static bool check_unused(const ManifestDisk *disk, GError **error)
{
    ImageUser user;
    g_autofree char *who = NULL;

    if (!image_state_is_used(disk->file, false, &user)) {
        return true;
    }
    who = user.pid != 0
              ? g_strdup_printf("process %d (%s)", (int)user.pid, user.name)
              : g_strdup("another process");
    if (disk->handling == MANIFEST_DISK_LEFT) {
        return refuse(disk, error,
                      "is being written to by %s: the guest was saved with "
                      "--disks leave, and it or another guest still uses this "
                      "image; end that first",
                      who);
    }
    return refuse(disk, error,
                  "is being written to by %s: a guest uses it directly, not "
                  "through an overlay; end that first",
                  who);
}

/* What the user can do about a change. */
static const char *advice(const ManifestDisk *disk)
{
    return disk->handling == MANIFEST_DISK_LEFT
               ? "The guest was saved with --disks leave: restore the image "
                 "that you kept at the save, with its time (cp -p), or give "
                 "QEMU's arguments after \"--\""
               : "RAM and disk no longer match; restore the image of that "
                 "moment, with its time (cp -p), or give QEMU's arguments "
                 "after \"--\"";
}

static bool look(const ManifestDisk *disk, struct stat *ret_stat,
                 GError **error)
{
    if (stat(disk->file, ret_stat) == 0) {
        return true;
    }
    return errno == ENOENT
               ? refuse(disk, error,
                        "is missing; it belongs to the snapshot: restore it, "
                        "or give QEMU's arguments after \"--\"")
               : refuse(disk, error, "cannot be examined: %s",
                        g_strerror(errno));
}

void image_state_note(ManifestDisk *disk, const struct stat *image)
{
    uint64_t mtime_ns = (uint64_t)image->st_mtim.tv_sec * 1000000000 +
                        (uint64_t)image->st_mtim.tv_nsec;

    disk->len_bytes = (uint64_t)image->st_size;
    /* Before 1970 it is negative. */
    disk->mtime_ns = mtime_ns & INT64_MAX;
    /* Of some file systems they have 64 bits: CephFS, overlayfs, …. */
    disk->inode = image->st_ino & INT64_MAX;
}

/* A copy that has the time of the original is as good.  Of a device of the host
 * it cannot be told: its node's time is that of the last boot. */
static bool check_unchanged(const ManifestDisk *disk, GError **error)
{
    ManifestDisk now = {0};
    struct stat st;

    if (!look(disk, &st, error)) {
        return false;
    }
    image_state_note(&now, &st);
    if (S_ISBLK(st.st_mode) ||
        (now.len_bytes == disk->len_bytes && now.mtime_ns == disk->mtime_ns)) {
        return true;
    }
    return refuse(disk, error,
                  "has changed since the snapshot was saved (%s).  %s",
                  now.inode != disk->inode ? "another file is there"
                                           : "it was written to",
                  advice(disk));
}

bool image_state_check(const ManifestDisk *disk, GError **error)
{
    return check_unused(disk, error) && check_unchanged(disk, error);
}
