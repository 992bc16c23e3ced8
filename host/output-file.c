/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/output-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

struct OutputFile {
    char *path;
    char *temporary; /* NULL once published */
    int fd;          /* holds the lock that tells that we are alive */
    bool found_stale;
};

/* A symbolic link is no loss: it is what it leads to that stays. */
static bool check_replaceable(const char *path, GError **error)
{
    struct stat status;

    if (lstat(path, &status) < 0 || S_ISREG(status.st_mode) ||
        S_ISLNK(status.st_mode)) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "%s: there is something that is not a regular file, which "
                "would be lost; give another name",
                path);
    return false;
}

/* Empty a file that is to be removed, unless it has another name as well, by
 * which it stays. */
static bool empty(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 &&
           (status.st_nlink > 1 || ftruncate(fd, 0) == 0);
}

/* Remove what is at the temporary path, if it is there and nobody's.  That it
 * is there tells of a save that was killed, and who kills us as well should
 * leave that sign: so it is emptied before, which is what takes time. */
static bool remove_stale(const char *temporary, bool *ret_found, GError **error)
{
    int fd = open(temporary, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    bool ok;

    if (fd < 0 && errno == ENOENT) {
        *ret_found = false;
        return true;
    }
    if (fd < 0) {
        util_error_set_errno(error, errno, "%s: cannot open", temporary);
        return false;
    }
    ok = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (!ok && errno == EWOULDBLOCK) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: another preheat is writing it; wait until it is "
                    "done",
                    temporary);
    } else if (!ok || !empty(fd) ||
               (unlink(temporary) < 0 && errno != ENOENT)) {
        util_error_set_errno(error, errno, "%s: cannot remove", temporary);
        ok = false;
    }
    close(fd);
    if (ok) {
        *ret_found = true;
    }
    return ok;
}

static bool create(OutputFile *file, uid_t owner, gid_t group, GError **error)
{
    file->fd = open(file->temporary,
                    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        util_error_set_errno(error, errno, "%s: cannot create",
                             file->temporary);
        return false;
    }
    if (flock(file->fd, LOCK_EX | LOCK_NB) < 0) {
        util_error_set_errno(error, errno, "%s: cannot lock", file->temporary);
        return false;
    }
    if (geteuid() == 0 && fchown(file->fd, owner, group) < 0) {
        util_error_set_errno(error, errno, "%s: cannot give it to QEMU's user",
                             file->temporary);
        return false;
    }
    return true;
}

OutputFile *output_file_new(const char *path, uid_t owner, gid_t group,
                            GError **error)
{
    OutputFile *file;

    if (!check_replaceable(path, error)) {
        return NULL;
    }
    file = g_new0(OutputFile, 1);
    file->fd = -1;
    file->path = g_strdup(path);
    file->temporary = g_strdup_printf("%s.preheat-tmp", path);
    if (!remove_stale(file->temporary, &file->found_stale, error)) {
        /* It belongs to somebody else. */
        g_clear_pointer(&file->temporary, g_free);
        output_file_free(file);
        return NULL;
    }
    if (!create(file, owner, group, error)) {
        if (file->fd < 0) {
            g_clear_pointer(&file->temporary, g_free);
        }
        output_file_free(file);
        return NULL;
    }
    return file;
}

void output_file_free(OutputFile *file)
{
    if (!file) {
        return;
    }
    if (file->temporary) {
        unlink(file->temporary);
    }
    if (file->fd >= 0) {
        close(file->fd);
    }
    g_free(file->temporary);
    g_free(file->path);
    g_free(file);
}

bool output_file_replaces_stale(const OutputFile *file)
{
    return file->found_stale;
}

const char *output_file_temporary(const OutputFile *file)
{
    return file->temporary;
}

int output_file_open(const OutputFile *file, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", file->fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        util_error_set_errno(error, errno, "%s: cannot open again",
                             file->temporary);
    }
    return fd;
}

static bool sync_directory(const char *path, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (!ok) {
        util_error_set_errno(error, errno, "%s: cannot sync", directory);
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

bool output_file_publish(OutputFile *file, uint64_t *ret_stored_bytes,
                         GError **error)
{
    struct stat status;

    if (fsync(file->fd) < 0 || fstat(file->fd, &status) < 0) {
        util_error_set_errno(error, errno, "%s: cannot sync", file->temporary);
        return false;
    }
    if (rename(file->temporary, file->path) < 0) {
        util_error_set_errno(error, errno, "%s: cannot rename to %s",
                             file->temporary, file->path);
        return false;
    }
    g_clear_pointer(&file->temporary, g_free);
    *ret_stored_bytes = (uint64_t)status.st_blocks * 512;
    return sync_directory(file->path, error);
}
