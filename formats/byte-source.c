/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/byte-source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
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
    source->fd = -1;
}

void byte_source_free(ByteSource *source)
{
    if (source) {
        g_free(source->name);
        source->ops->free(source);
    }
}

bool byte_source_read_at(const ByteSource *source, void *buffer,
                         size_t len_bytes, uint64_t off_bytes, GError **error)
{
    uint64_t left_bytes =
        off_bytes < source->len_bytes ? source->len_bytes - off_bytes : 0;

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

/* ---- a file ---- */

static bool read_file_at(const ByteSource *source, void *buffer,
                         size_t len_bytes, uint64_t off_bytes, GError **error)
{
    return file_read_at(source->fd, buffer, len_bytes, off_bytes, error);
}

static void free_file(ByteSource *source)
{
    close(source->fd);
    g_free(source);
}

static const ByteSourceOps file_ops = {
    .read_at = read_file_at,
    .free = free_file,
};

/* Takes over fd. */
static ByteSource *new_file(int fd, const char *name, uint64_t len_bytes)
{
    ByteSource *source = g_new0(ByteSource, 1);

    byte_source_init(source, &file_ops, name, len_bytes);
    source->fd = fd;
    return source;
}

ByteSource *byte_source_open(const char *path, GError **error)
{
    uint64_t len_bytes;
    int fd = file_open_regular(path, &len_bytes, error);

    if (fd < 0) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    return new_file(fd, path, len_bytes);
}

ByteSource *byte_source_new_fd(int fd, const char *name, GError **error)
{
    uint64_t len_bytes;

    if (!file_regular_length(fd, &len_bytes, error)) {
        g_prefix_error(error, "%s: ", name);
        return NULL;
    }
    int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own_fd < 0) {
        util_error_set_errno(error, errno,
                             "%s: cannot duplicate its descriptor", name);
        return NULL;
    }
    return new_file(own_fd, name, len_bytes);
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
