/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli/image-file.h"

#include <unistd.h>

#include "formats/file-kind.h"
#include "formats/qcow2-state.h"
#include "util/file.h"

RamImage *image_file_open_fd(int fd, const char *path, const char *tag,
                             uint64_t off_bytes, GError **error)
{
    ByteSource *source = byte_source_new_fd(fd, path, error);

    if (source && tag) {
        source = qcow2_state_open(source, tag, error);
    } else if (source && off_bytes == 0 &&
               !file_kind_expect(source, FILE_KIND_SNAPSHOT, error)) {
        g_clear_pointer(&source, byte_source_free);
    }
    return source ? ram_image_open_source(source, off_bytes, error) : NULL;
}

RamImage *image_file_open(const char *path, const char *tag, uint64_t off_bytes,
                          GError **error)
{
    uint64_t len_bytes;
    int fd = file_open_regular(path, &len_bytes, error);

    if (fd < 0) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    RamImage *image = image_file_open_fd(fd, path, tag, off_bytes, error);
    close(fd);
    return image;
}
