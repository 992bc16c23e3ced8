/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/destination.h"

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

bool destination_write(const Destination *destination, const void *data,
                       size_t len_bytes, GError **error)
{
    if (!file_place_write(destination->place, data, len_bytes, error)) {
        g_prefix_error(error, "%s: ", destination->path);
        return false;
    }
    return true;
}

bool destination_write_order(const Destination *destination,
                             const PageOrder *order, GError **error)
{
    if (!page_order_save_at(order, destination->place, error)) {
        g_prefix_error(error, "%s: ", destination->path);
        return false;
    }
    return true;
}
