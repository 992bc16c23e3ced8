/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/destination.h"

#include <unistd.h>

#include "util/file.h"

struct Destination {
    char *path;
    FilePlace *place;
};

Destination *destination_open(const char *path, GError **error)
{
    FilePlace *place = file_place_open(path, error);

    if (!place) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    Destination *destination = g_new0(Destination, 1);
    destination->path = g_strdup(path);
    destination->place = place;
    return destination;
}

void destination_free(Destination *destination)
{
    if (destination) {
        file_place_free(destination->place);
        g_free(destination->path);
        g_free(destination);
    }
}

const char *destination_path(const Destination *destination)
{
    return destination->path;
}

static bool prefix(const Destination *destination, bool ok, GError **error)
{
    if (!ok) {
        g_prefix_error(error, "%s: ", destination->path);
    }
    return ok;
}

bool destination_read(const Destination *destination, ByteSource **ret_source,
                      GError **error)
{
    ByteSource *source = NULL;
    int fd;

    if (!prefix(destination, file_place_read(destination->place, &fd, error),
                error)) {
        return false;
    }
    if (fd >= 0) {
        source = byte_source_new_fd(fd, destination->path, error);
        close(fd);
        if (!source) {
            return false;
        }
    }
    *ret_source = source;
    return true;
}

bool destination_lock(const Destination *destination, unsigned timeout_ms,
                      GError **error)
{
    return prefix(destination,
                  file_place_lock(destination->place, timeout_ms, error),
                  error);
}

void destination_unlock(const Destination *destination)
{
    file_place_unlock(destination->place);
}

bool destination_write(const Destination *destination, const void *data,
                       size_t len_bytes, GError **error)
{
    return prefix(destination,
                  file_place_write(destination->place, data, len_bytes, error),
                  error);
}

bool destination_write_order(const Destination *destination,
                             const PageOrder *order, GError **error)
{
    return prefix(destination,
                  page_order_save_at(order, destination->place, error), error);
}
