/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

#define MAX_LINKS     40 /* as the kernel follows */
#define MAX_TEMPORARY 100
#define LOCK_POLL_US  10000

bool file_stat_regular(int fd, struct stat *ret_stat, GError **error)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        util_error_set_errno(error, errno, "cannot examine it");
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "not a regular file; copy it to one first");
        return false;
    }
    *ret_stat = st;
    return true;
}

int file_open_regular(const char *path, uint64_t *ret_len_bytes, GError **error)
{
    /* O_NONBLOCK: a FIFO without a writer must not hold us up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    if (fd < 0) {
        util_error_set_errno(error, errno, "cannot open it");
        return -1;
    }
    /* Blocking again, as readers expect it; cannot fail. */
    (void)fcntl(fd, F_SETFL, 0);
    if (!file_stat_regular(fd, &st, error)) {
        close(fd);
        return -1;
    }
    *ret_len_bytes = (uint64_t)st.st_size;
    return fd;
}

bool file_read_at(int fd, void *buffer, size_t len_bytes, uint64_t off_bytes,
                  GError **error)
{
    uint8_t *bytes = buffer;

    for (size_t done = 0; done < len_bytes;) {
        ssize_t n = pread(fd, &bytes[done], len_bytes - done,
                          (off_t)(off_bytes + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                        "cannot read at offset %" G_GUINT64_FORMAT ": %s",
                        off_bytes + done, g_strerror(errno));
            return false;
        }
        if (n == 0) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                        "ends at offset %" G_GUINT64_FORMAT
                        ", %zu bytes too early",
                        off_bytes + done, len_bytes - done);
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

bool file_write_at(int fd, const void *buffer, size_t len_bytes,
                   uint64_t off_bytes, GError **error)
{
    const uint8_t *bytes = buffer;

    for (size_t done = 0; done < len_bytes;) {
        ssize_t n = pwrite(fd, &bytes[done], len_bytes - done,
                           (off_t)(off_bytes + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                        "cannot write at offset %" G_GUINT64_FORMAT ": %s",
                        off_bytes + done, g_strerror(n < 0 ? errno : EIO));
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

/* ---- places ---- */

struct FilePlace {
    int folder_fd;
    char *name;
};

static bool fail(GError **error, const char *reason)
{
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "cannot write it: %s",
                reason);
    return false;
}

static bool fail_errno(GError **error, const char *what)
{
    util_error_set_errno(error, errno, "cannot write it: %s", what);
    return false;
}

/* Go to the folder and the name of path, relative paths counting from where
 * place is. */
static bool go_to(FilePlace *place, const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);

    if (path[0] == 0 || g_str_has_suffix(path, "/")) {
        return fail(error, "this is a directory");
    }
    int fd =
        openat(place->folder_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fail_errno(error, "cannot open its directory");
    }
    if (place->folder_fd >= 0) {
        close(place->folder_fd);
    }
    place->folder_fd = fd;
    g_free(place->name);
    place->name = g_path_get_basename(path);
    return true;
}

static bool follow_link(FilePlace *place, const struct stat *link,
                        GError **error)
{
    char target[PATH_MAX];

    if (link->st_uid != geteuid() && link->st_uid != 0) {
        return fail(error, "this is a symbolic link of another user, which is "
                           "not followed; give the path of its target");
    }
    ssize_t len =
        readlinkat(place->folder_fd, place->name, target, sizeof(target) - 1);
    if (len < 0) {
        return fail_errno(error, "cannot read the symbolic link there");
    }
    target[len] = 0;
    return go_to(place, target, error);
}

static bool fail_not_regular(GError **error)
{
    return fail(
        error,
        "this is not a regular file, and would be lost; choose another name");
}

/* Go on to what links lead to: a regular file, or a name that is free. */
static bool follow_links(FilePlace *place, GError **error)
{
    for (int i = 0; i < MAX_LINKS; i++) {
        struct stat st;

        if (fstatat(place->folder_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) <
            0) {
            return errno == ENOENT ||
                   fail_errno(error, "cannot examine what is there");
        }
        if (!S_ISLNK(st.st_mode)) {
            return S_ISREG(st.st_mode) || fail_not_regular(error);
        }
        if (!follow_link(place, &st, error)) {
            return false;
        }
    }
    errno = ELOOP;
    return fail_errno(error, "cannot follow the symbolic links there");
}

FilePlace *file_place_open(const char *path, GError **error)
{
    g_autoptr(FilePlace) place = g_new0(FilePlace, 1);

    place->folder_fd = AT_FDCWD;
    if (!go_to(place, path, error) || !follow_links(place, error)) {
        return NULL;
    }
    if (faccessat(place->folder_fd, ".", W_OK | X_OK, AT_EACCESS) < 0) {
        fail_errno(error, "cannot write to its directory");
        return NULL;
    }
    return g_steal_pointer(&place);
}

void file_place_free(FilePlace *place)
{
    if (place) {
        if (place->folder_fd >= 0) {
            close(place->folder_fd);
        }
        g_free(place->name);
        g_free(place);
    }
}

/* A new file for us alone, under a name that nobody can guess. */
static int create_temporary(const FilePlace *place, char **ret_name,
                            GError **error)
{
    for (int i = 0; i < MAX_TEMPORARY; i++) {
        uint32_t number;

        if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
            break;
        }
        g_autofree char *name =
            g_strdup_printf("%s.preheat-%08" PRIx32, place->name, number);
        int fd =
            openat(place->folder_fd, name,
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0) {
            *ret_name = g_steal_pointer(&name);
            return fd;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    fail_errno(error, "cannot create a file in its directory");
    return -1;
}

/* A file of somebody who may do nothing in the folder but what everybody may:
 * it may have been put there for its mode and its owner. */
static bool is_strangers(const FilePlace *place, const struct stat *file)
{
    struct stat folder;

    return fstat(place->folder_fd, &folder) < 0 ||
           ((folder.st_mode & S_IWOTH) != 0 && file->st_uid != geteuid() &&
            file->st_uid != folder.st_uid);
}

/* Give fd, the new file, owner, group and mode of the one before.  Who is not
 * in that group keeps it for himself: the mode might let in the wrong ones. */
static void hand_on(int fd, const struct stat *before)
{
    const uid_t owner = geteuid() == 0 ? before->st_uid : (uid_t)-1;

    if (fchown(fd, owner, before->st_gid) == 0) {
        (void)fchmod(fd, before->st_mode & 0777);
    }
}

/* Whether something may be written there, and what is there now:
 * ret_before->st_nlink is 0 where nothing is. */
static bool look_before(const FilePlace *place, struct stat *ret_before,
                        GError **error)
{
    struct stat before = {0};

    if (fstatat(place->folder_fd, place->name, &before, AT_SYMLINK_NOFOLLOW) <
            0 &&
        errno != ENOENT) {
        return fail_errno(error, "cannot examine what is there");
    }
    if (before.st_nlink > 0 && !S_ISREG(before.st_mode)) {
        return fail_not_regular(error);
    }
    *ret_before = before;
    return true;
}

static bool fill(int fd, const void *data, size_t len_bytes, GError **error)
{
    return file_write_at(fd, data, len_bytes, 0, error) &&
           (fsync(fd) == 0 || fail_errno(error, "cannot sync"));
}

static bool publish(const FilePlace *place, const char *temporary,
                    GError **error)
{
    if (renameat(place->folder_fd, temporary, place->folder_fd, place->name) <
        0) {
        return fail_errno(error, "cannot rename it");
    }
    /* EINVAL: a file system that cannot. */
    return fsync(place->folder_fd) == 0 || errno == EINVAL ||
           fail_errno(error, "cannot sync its directory");
}

bool file_place_write(const FilePlace *place, const void *data,
                      size_t len_bytes, GError **error)
{
    g_autofree char *temporary = NULL;
    struct stat before;

    if (!look_before(place, &before, error)) {
        return false;
    }
    int fd = create_temporary(place, &temporary, error);
    if (fd < 0) {
        return false;
    }
    if (before.st_nlink > 0 && !is_strangers(place, &before)) {
        hand_on(fd, &before);
    }
    bool ok =
        fill(fd, data, len_bytes, error) && publish(place, temporary, error);
    close(fd);
    if (!ok) {
        unlinkat(place->folder_fd, temporary, 0);
    }
    return ok;
}

bool file_place_read(const FilePlace *place, int *ret_fd, GError **error)
{
    int fd = openat(place->folder_fd, place->name,
                    O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    struct stat st;

    if (fd < 0 && errno != ENOENT) {
        util_error_set_errno(error, errno, "cannot open it");
        return false;
    }
    if (fd >= 0 && !file_stat_regular(fd, &st, error)) {
        close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}

bool file_place_lock(const FilePlace *place, unsigned timeout_ms,
                     GError **error)
{
    gint64 until_us = g_get_monotonic_time() + timeout_ms * (gint64)1000;

    while (flock(place->folder_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return true;
        }
        if (g_get_monotonic_time() >= until_us) {
            g_set_error(
                error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "another program has had its directory locked for %u ms",
                timeout_ms);
            return false;
        }
        g_usleep(LOCK_POLL_US);
    }
    return true;
}

void file_place_unlock(const FilePlace *place)
{
    /* Fails only where locking did. */
    (void)flock(place->folder_fd, LOCK_UN);
}

bool file_replace(const char *path, const void *data, size_t len_bytes,
                  GError **error)
{
    g_autoptr(FilePlace) place = file_place_open(path, error);

    return place && file_place_write(place, data, len_bytes, error);
}

bool file_check_replaceable(const char *path, GError **error)
{
    g_autoptr(FilePlace) place = file_place_open(path, error);

    return place != NULL;
}

void file_hide_like(const char *path, const char *like)
{
    int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    struct stat st, pattern;

    if (fd < 0) {
        return;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        stat(like, &pattern) == 0) {
        (void)fchmod(fd, st.st_mode & 0777 & (pattern.st_mode | S_IRWXU));
    }
    close(fd);
}
