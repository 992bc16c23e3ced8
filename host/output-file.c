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
    char *path;           /* for messages */
    char *temporary_path; /* likewise */
    int folder_fd;
    char *name; /* in the folder */
    char *temporary_name;
    bool exists; /* by its temporary name */
    int fd;      /* holds the lock that tells that we are alive */
};

/* A symbolic link is no loss: it is what it leads to that stays. */
static bool check_replaceable(const OutputFile *file, GError **error)
{
    struct stat status;

    if (fstatat(file->folder_fd, file->name, &status, AT_SYMLINK_NOFOLLOW) <
            0 ||
        S_ISREG(status.st_mode) || S_ISLNK(status.st_mode)) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "%s: this is not a regular file, and would be lost; choose "
                "another name",
                file->path);
    return false;
}

/* Remove what fd leads to and the temporary name stands for. */
static bool remove_unheld(const OutputFile *file, int fd, GError **error)
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: another preheat is writing this file; wait until it "
                    "has finished",
                    file->temporary_path);
        return false;
    }
    if (unlinkat(file->folder_fd, file->temporary_name, 0) < 0 &&
        errno != ENOENT) {
        util_error_set_errno(error, errno, "%s: cannot remove",
                             file->temporary_path);
        return false;
    }
    return true;
}

/* Remove what a process that was killed has left at the temporary name. */
static bool remove_stale(const OutputFile *file, GError **error)
{
    int fd = openat(file->folder_fd, file->temporary_name,
                    O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    bool ok;

    if (fd < 0 && errno == ENOENT) {
        return true;
    }
    if (fd < 0) {
        util_error_set_errno(error, errno, "%s: cannot open",
                             file->temporary_path);
        return false;
    }
    ok = remove_unheld(file, fd, error);
    close(fd);
    return ok;
}

static bool create(OutputFile *file, GError **error)
{
    file->fd = openat(file->folder_fd, file->temporary_name,
                      O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        util_error_set_errno(error, errno, "%s: cannot create",
                             file->temporary_path);
        return false;
    }
    file->exists = true;
    if (flock(file->fd, LOCK_EX | LOCK_NB) < 0) {
        util_error_set_errno(error, errno, "%s: cannot lock",
                             file->temporary_path);
        return false;
    }
    return true;
}

static bool open_folder(OutputFile *file, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(file->path);

    file->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->folder_fd < 0) {
        util_error_set_errno(error, errno, "%s: cannot open its directory",
                             file->path);
    }
    return file->folder_fd >= 0;
}

OutputFile *output_file_new(const char *path, GError **error)
{
    g_autoptr(OutputFile) file = g_new0(OutputFile, 1);

    file->folder_fd = -1;
    file->fd = -1;
    file->path = g_strdup(path);
    file->name = g_path_get_basename(path);
    file->temporary_path = g_strconcat(path, ".preheat-tmp", NULL);
    file->temporary_name = g_strconcat(file->name, ".preheat-tmp", NULL);
    return open_folder(file, error) && check_replaceable(file, error) &&
                   remove_stale(file, error) && create(file, error)
               ? g_steal_pointer(&file)
               : NULL;
}

void output_file_free(OutputFile *file)
{
    if (!file) {
        return;
    }
    if (file->exists) {
        unlinkat(file->folder_fd, file->temporary_name, 0);
    }
    if (file->fd >= 0) {
        close(file->fd);
    }
    if (file->folder_fd >= 0) {
        close(file->folder_fd);
    }
    g_free(file->name);
    g_free(file->temporary_name);
    g_free(file->temporary_path);
    g_free(file->path);
    g_free(file);
}

const char *output_file_temporary(const OutputFile *file)
{
    return file->temporary_path;
}

int output_file_open(const OutputFile *file, int access, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", file->fd);
    int fd = open(path, access | O_CLOEXEC);

    if (fd < 0) {
        util_error_set_errno(error, errno, "%s: cannot open again",
                             file->temporary_path);
    }
    return fd;
}

/* Who else may write to the folder could have put something else there, which
 * is not to be taken for what was saved. */
static bool check_name(const OutputFile *file, const struct stat *ours,
                       GError **error)
{
    struct stat there;

    if (fstatat(file->folder_fd, file->temporary_name, &there,
                AT_SYMLINK_NOFOLLOW) == 0 &&
        there.st_dev == ours->st_dev && there.st_ino == ours->st_ino) {
        return true;
    }
    g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                "%s: another program has removed or replaced it meanwhile; "
                "save to a directory to which only you may write",
                file->temporary_path);
    return false;
}

bool output_file_publish(OutputFile *file, uint64_t *ret_stored_bytes,
                         GError **error)
{
    struct stat status;

    if (fsync(file->fd) < 0 || fstat(file->fd, &status) < 0) {
        util_error_set_errno(error, errno, "%s: cannot sync",
                             file->temporary_path);
        return false;
    }
    if (!check_name(file, &status, error)) {
        return false;
    }
    if (renameat(file->folder_fd, file->temporary_name, file->folder_fd,
                 file->name) < 0) {
        util_error_set_errno(error, errno, "%s: cannot rename to %s",
                             file->temporary_path, file->path);
        return false;
    }
    /* EINVAL: a file system that cannot. */
    if (fsync(file->folder_fd) < 0 && errno != EINVAL) {
        util_error_set_errno(error, errno, "%s: cannot sync its directory",
                             file->path);
        /* What has failed is not to be taken for the result. */
        (void)renameat(file->folder_fd, file->name, file->folder_fd,
                       file->temporary_name);
        return false;
    }
    file->exists = false;
    *ret_stored_bytes = (uint64_t)status.st_blocks * 512;
    return true;
}
