/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/page-order.h"

#include <unistd.h>

#include "formats/error.h"
#include "formats/file.h"

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

static PageOrder *load_from(int fd, uint64_t len_bytes, GError **error)
{
    if (!check_file_length(len_bytes, error)) {
        return NULL;
    }
    /* One byte more: an empty file is no failed allocation. */
    g_autofree void *data = g_try_malloc(len_bytes + 1);
    if (!data) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "no memory for its %" G_GUINT64_FORMAT " bytes", len_bytes);
        return NULL;
    }
    if (!file_read_at(fd, data, len_bytes, 0, error)) {
        return NULL;
    }
    return page_order_decode(data, len_bytes, error);
}

/* fd: taken over, and -1 with an error already set. */
static PageOrder *load_and_close(int fd, uint64_t len_bytes, const char *path,
                                 GError **error)
{
    PageOrder *order = NULL;

    if (fd >= 0) {
        order = load_from(fd, len_bytes, error);
        close(fd);
    }
    if (!order) {
        g_prefix_error(error, "%s: ", path);
    }
    return order;
}

PageOrder *page_order_load(const char *path, GError **error)
{
    uint64_t len_bytes = 0;
    int fd = file_open_regular(path, &len_bytes, error);

    return load_and_close(fd, len_bytes, path, error);
}

PageOrder *page_order_load_fd(int fd, const char *path, GError **error)
{
    uint64_t len_bytes = 0;
    int copy = file_dup_regular(fd, &len_bytes, error);

    return load_and_close(copy, len_bytes, path, error);
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
