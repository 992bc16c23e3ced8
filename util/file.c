/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

bool file_stat_regular(int fd, struct stat *ret_stat, GError **error)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        util_error_set_errno(error, errno, "cannot look at it");
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "not a regular file; copy it into one first");
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

/* GLib does it all: temporary name, fsync, rename, fsync of the directory. */
static bool write_whole(const char *path, const void *data, size_t len_bytes,
                        mode_t mode, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (!g_file_set_contents_full(path, data, (gssize)len_bytes,
                                  G_FILE_SET_CONTENTS_CONSISTENT |
                                      G_FILE_SET_CONTENTS_DURABLE,
                                  (int)mode, &cause)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED, "cannot write it: %s",
                    cause->message);
        return false;
    }
    return true;
}

/* Give the file that was just written at path the mode and the owner of the
 * one before.  By descriptor, and only a file that can be no other than ours:
 * whoever owns the directory might put something else there meanwhile. */
static void hand_on(const char *path, const struct stat *before)
{
    struct stat now;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0) {
        return;
    }
    if (fstat(fd, &now) == 0 && S_ISREG(now.st_mode) && now.st_nlink == 1 &&
        now.st_uid == geteuid()) {
        /* Who may not give files away, as most but root, keeps it; and then
         * a mode that let others in might let in the wrong ones. */
        if (fchown(fd, before->st_uid, before->st_gid) == 0) {
            (void)fchmod(fd, before->st_mode & 0777);
        }
    }
    close(fd);
}

static void set_not_regular(GError **error)
{
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "cannot write it: there is something that is not a regular "
                "file, which would be lost; give another name");
}

bool file_replace(const char *path, const void *data, size_t len_bytes,
                  GError **error)
{
    struct stat st;
    bool is_there = stat(path, &st) == 0;

    if (!is_there || S_ISDIR(st.st_mode)) {
        return write_whole(path, data, len_bytes, 0666, error);
    }
    if (!S_ISREG(st.st_mode)) {
        set_not_regular(error);
        return false;
    }
    /* free(), not g_free(): the C library has allocated it. */
    char *target = realpath(path, NULL);
    const char *at = target ? target : path;
    bool ok = write_whole(at, data, len_bytes, st.st_mode & 0777, error);
    if (ok) {
        hand_on(at, &st);
    }
    free(target);
    return ok;
}

bool file_check_replaceable(const char *path, GError **error)
{
    char *target = realpath(path, NULL);
    g_autofree char *directory = g_path_get_dirname(target ? target : path);
    struct stat st;

    free(target);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        set_not_regular(error);
        return false;
    }
    if (access(directory, W_OK | X_OK) < 0) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "cannot write there: %s", g_strerror(errno));
        return false;
    }
    return true;
}
