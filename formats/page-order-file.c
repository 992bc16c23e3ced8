/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/page-order.h"

#include "formats/error.h"
#include "formats/file-kind.h"

#define MAX_FILE_BYTES (UINT64_C(1) << 30)

static const PageOrderLimits format_limits = {
    .max_file_bytes = MAX_FILE_BYTES,
    .max_extents = PAGE_ORDER_MAX_EXTENTS,
};

static bool check_file_length(uint64_t len_bytes, uint64_t max_bytes,
                              GError **error)
{
    if (len_bytes > max_bytes) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "%" G_GUINT64_FORMAT " bytes, at most %" G_GUINT64_FORMAT
                    " are accepted",
                    len_bytes, max_bytes);
        return false;
    }
    return true;
}

static bool check_extents(const void *data, size_t len_bytes,
                          uint64_t max_extents, GError **error)
{
    uint64_t n_extents;

    if (page_order_peek_extents(data, len_bytes, &n_extents) &&
        n_extents > max_extents) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "%" G_GUINT64_FORMAT " extents, at most %" G_GUINT64_FORMAT
                    " are accepted",
                    n_extents, max_extents);
        return false;
    }
    return true;
}

static PageOrder *load_within(const ByteSource *source,
                              const PageOrderLimits *limits, GError **error)
{
    if (!check_file_length(source->len_bytes, limits->max_file_bytes, error)) {
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
    if (!byte_source_read_at(source, data, source->len_bytes, 0, error) ||
        !check_extents(data, source->len_bytes, limits->max_extents, error)) {
        return NULL;
    }
    return page_order_decode(data, source->len_bytes, error);
}

PageOrder *page_order_load_source(const ByteSource *source,
                                  const PageOrderLimits *limits, GError **error)
{
    PageOrder *order;

    if (!file_kind_expect(source, FILE_KIND_ORDER, error)) {
        return NULL;
    }
    order = load_within(source, limits ? limits : &format_limits, error);
    if (!order) {
        g_prefix_error(error, "%s: ", source->name);
    }
    return order;
}

PageOrder *page_order_load(const char *path, GError **error)
{
    g_autoptr(ByteSource) source = byte_source_open(path, error);

    return source ? page_order_load_source(source, NULL, error) : NULL;
}

static GBytes *encode(const PageOrder *order, GError **error)
{
    if (!page_order_check(order, error)) {
        return NULL;
    }
    g_autoptr(GBytes) bytes = page_order_encode(order);
    return check_file_length(g_bytes_get_size(bytes), MAX_FILE_BYTES, error)
               ? g_steal_pointer(&bytes)
               : NULL;
}

bool page_order_save_at(const PageOrder *order, const FilePlace *place,
                        GError **error)
{
    g_autoptr(GBytes) bytes = encode(order, error);

    return bytes && file_place_write(place, g_bytes_get_data(bytes, NULL),
                                     g_bytes_get_size(bytes), error);
}

bool page_order_save(const PageOrder *order, const char *path, GError **error)
{
    g_autoptr(FilePlace) place = NULL;

    if (!file_kind_check_replaceable(path, FILE_KIND_ORDER, error)) {
        return false;
    }
    place = file_place_open(path, error);
    if (!place || !page_order_save_at(order, place, error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    return true;
}
