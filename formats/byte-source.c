/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/byte-source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/error.h"
#include "util/error.h"
#include "util/file.h"

void byte_source_init(ByteSource *source, const ByteSourceOps *ops,
                      const char *name, uint64_t len_bytes)
{
    source->ops = ops;
    source->name = g_strdup(name);
    source->len_bytes = len_bytes;
    source->stored_bytes = len_bytes;
    source->fd = -1;
}

void byte_source_free(ByteSource *source)
{
    if (source) {
        g_free(source->name);
        source->ops->free(source);
    }
}

static uint64_t left_at(const ByteSource *source, uint64_t off_bytes)
{
    return off_bytes < source->len_bytes ? source->len_bytes - off_bytes : 0;
}

bool byte_source_read_at(const ByteSource *source, void *buffer,
                         size_t len_bytes, uint64_t off_bytes, GError **error)
{
    const uint64_t left_bytes = left_at(source, off_bytes);

    if (len_bytes > left_bytes) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TRUNCATED,
                    "ends at offset %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
                    " bytes too early",
                    source->len_bytes, len_bytes - left_bytes);
        return false;
    }
    return len_bytes == 0 ||
           source->ops->read_at(source, buffer, len_bytes, off_bytes, error);
}

bool byte_source_read_some(const ByteSource *source, void *buffer,
                           size_t max_bytes, uint64_t off_bytes,
                           size_t *ret_len_bytes, GError **error)
{
    const size_t len_bytes = (size_t)MIN(left_at(source, off_bytes), max_bytes);

    if (!byte_source_read_at(source, buffer, len_bytes, off_bytes, error)) {
        return false;
    }
    *ret_len_bytes = len_bytes;
    return true;
}

bool byte_source_check_unchanged(const ByteSource *source, GError **error)
{
    return !source->ops->check_unchanged ||
           source->ops->check_unchanged(source, error);
}

void byte_source_advise_random(const ByteSource *source)
{
    if (source->ops->advise_random) {
        source->ops->advise_random(source);
    }
}

/* ---- a file ---- */

typedef struct FileSource {
    ByteSource base;
    struct stat opened; /* what fstat() said then … */
    char *path;         /* … and where the file was; NULL: not known */
} FileSource;

/* Where the file that fd leads to is now, for g_free(); NULL where there is no
 * /proc. */
static char *find_path(int fd)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);

    return g_file_read_link(link, NULL);
}

static bool read_file_at(const ByteSource *source, void *buffer,
                         size_t len_bytes, uint64_t off_bytes, GError **error)
{
    return file_read_at(source->fd, buffer, len_bytes, off_bytes, error);
}

static bool times_equal(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static char *format_time(const struct timespec *time)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_local(time->tv_sec);
    g_autofree char *text = date ? g_date_time_format(date, "%F %T") : NULL;

    return g_strdup_printf("%s.%09ld", text ? text : "?", time->tv_nsec);
}

static bool set_written(const ByteSource *source, const struct stat *then,
                        const struct stat *now, GError **error)
{
    if (!error) {
        /* Each read asks, and not for a text. */
        return false;
    }
    g_autofree char *before = format_time(&then->st_mtim);
    g_autofree char *after = format_time(&now->st_mtim);
    g_autofree char *length =
        then->st_size == now->st_size
            ? g_strdup("")
            : g_strdup_printf("its length changed from %lld to %lld bytes and ",
                              (long long)then->st_size,
                              (long long)now->st_size);

    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_CHANGED,
                "%s was written to while it was in use (%sits mtime changed "
                "from %s to %s)",
                source->name, length, before, after);
    return false;
}

/* NFS does that to an open file whose name goes to another. */
static bool was_renamed(const FileSource *file)
{
    g_autofree char *path = find_path(file->base.fd);

    return file->path && path && strcmp(file->path, path) != 0;
}

/* Something was done to the file, and its mtime does not tell: another name, a
 * name more or less, another mode or owner is none of ours. */
static bool check_ctime(const ByteSource *source, const struct stat *then,
                        const struct stat *now, GError **error)
{
    if (times_equal(&then->st_ctim, &now->st_ctim) ||
        then->st_nlink != now->st_nlink || then->st_mode != now->st_mode ||
        then->st_uid != now->st_uid || then->st_gid != now->st_gid ||
        was_renamed((const FileSource *)source)) {
        return true;
    }
    if (!error) {
        return false;
    }
    g_autofree char *before = format_time(&then->st_ctim);
    g_autofree char *after = format_time(&now->st_ctim);

    g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_CHANGED,
                "%s may have been written to while it was in use (its ctime "
                "changed from %s to %s, which also happens when its extended "
                "attributes or flags change)",
                source->name, before, after);
    return false;
}

/* Device and inode are not compared: those of a descriptor stay. */
static bool check_file_unchanged(const ByteSource *source, GError **error)
{
    const struct stat *then = &((const FileSource *)source)->opened;
    struct stat now;

    if (fstat(source->fd, &now) < 0) {
        util_error_set_errno(error, errno, "%s: cannot examine it",
                             source->name);
        return false;
    }
    if (then->st_size != now.st_size ||
        !times_equal(&then->st_mtim, &now.st_mtim)) {
        return set_written(source, then, &now, error);
    }
    return check_ctime(source, then, &now, error);
}

static void advise_file_random(const ByteSource *source)
{
    (void)posix_fadvise(source->fd, 0, 0, POSIX_FADV_RANDOM);
}

static void free_file(ByteSource *source)
{
    g_free(((FileSource *)source)->path);
    close(source->fd);
    g_free(source);
}

static const ByteSourceOps file_ops = {
    .read_at = read_file_at,
    .check_unchanged = check_file_unchanged,
    .advise_random = advise_file_random,
    .free = free_file,
};

/* Takes over fd, also by a failure. */
static ByteSource *new_file(int fd, const char *name, GError **error)
{
    struct stat opened;

    if (!file_stat_regular(fd, &opened, error)) {
        g_prefix_error(error, "%s: ", name);
        close(fd);
        return NULL;
    }
    FileSource *file = g_new0(FileSource, 1);
    byte_source_init(&file->base, &file_ops, name, (uint64_t)opened.st_size);
    file->base.stored_bytes = (uint64_t)opened.st_blocks * 512;
    file->base.fd = fd;
    file->opened = opened;
    file->path = find_path(fd);
    return &file->base;
}

ByteSource *byte_source_open(const char *path, GError **error)
{
    uint64_t len_bytes;
    int fd = file_open_regular(path, &len_bytes, error);

    if (fd < 0) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    return new_file(fd, path, error);
}

ByteSource *byte_source_new_fd(int fd, const char *name, GError **error)
{
    int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (own_fd < 0) {
        util_error_set_errno(error, errno,
                             "%s: cannot duplicate its descriptor", name);
        return NULL;
    }
    return new_file(own_fd, name, error);
}

/* ---- memory ---- */

typedef struct MemorySource {
    ByteSource base;
    GBytes *bytes;
} MemorySource;

static bool read_memory_at(const ByteSource *source, void *buffer,
                           size_t len_bytes, uint64_t off_bytes, GError **error)
{
    const MemorySource *memory = (const MemorySource *)source;
    const uint8_t *data = g_bytes_get_data(memory->bytes, NULL);

    memcpy(buffer, data + off_bytes, len_bytes);
    return true;
}

static void free_memory(ByteSource *source)
{
    MemorySource *memory = (MemorySource *)source;

    g_bytes_unref(memory->bytes);
    g_free(memory);
}

static const ByteSourceOps memory_ops = {
    .read_at = read_memory_at,
    .free = free_memory,
};

ByteSource *byte_source_new_memory(GBytes *bytes, const char *name)
{
    MemorySource *memory = g_new0(MemorySource, 1);

    byte_source_init(&memory->base, &memory_ops, name, g_bytes_get_size(bytes));
    memory->bytes = g_bytes_ref(bytes);
    return &memory->base;
}
