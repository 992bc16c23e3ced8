/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/page-order.h"

#include "formats/error.h"
#include "util/file.h"

#define MAX_FILE_BYTES (UINT64_C(1) << 30)

static bool check_file_length(uint64_t len_bytes, GError **error)
{
    if (len_bytes > MAX_FILE_BYTES) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "%" G_GUINT64_FORMAT " bytes, at most %" G_GUINT64_FORMAT
                    " are accepted",
                    len_bytes, MAX_FILE_BYTES);
        return false;
    }
    return true;
}

static PageOrder *load_from(const ByteSource *source, GError **error)
{
    if (!check_file_length(source->len_bytes, error)) {
        return NULL;
    }
    /* One byte more: an empty file is no failed allocation. */
    g_autofree void *data = g_try_malloc(source->len_bytes + 1);
    if (!data) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "no memory for its %" G_GUINT64_FORMAT " bytes",
                    source->len_bytes);
        return NULL;
    }
    if (!byte_source_read_at(source, data, source->len_bytes, 0, error)) {
        return NULL;
    }
    return page_order_decode(data, source->len_bytes, error);
}

PageOrder *page_order_load_source(const ByteSource *source, GError **error)
{
    PageOrder *order = load_from(source, error);

    if (!order) {
        g_prefix_error(error, "%s: ", source->name);
    }
    return order;
}

PageOrder *page_order_load(const char *path, GError **error)
{
    g_autoptr(ByteSource) source = byte_source_open(path, error);

    return source ? page_order_load_source(source, error) : NULL;
}

PageOrder *page_order_load_fd(int fd, const char *path, GError **error)
{
    g_autoptr(ByteSource) source = byte_source_new_fd(fd, path, error);

    return source ? page_order_load_source(source, error) : NULL;
}

static bool save_to(const PageOrder *order, const char *path, GError **error)
{
    if (!page_order_check(order, error)) {
        return false;
    }
    g_autoptr(GBytes) bytes = page_order_encode(order);
    return check_file_length(g_bytes_get_size(bytes), error) &&
           file_replace(path, g_bytes_get_data(bytes, NULL),
                        g_bytes_get_size(bytes), error);
}

bool page_order_save(const PageOrder *order, const char *path, GError **error)
{
    if (!save_to(order, path, error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    return true;
}
