/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The JSON form, as docs/page-order-format.md specifies it.  Writing and
 * reading of each kind of object stand side by side.
 */
#include "formats/page-order.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "formats/error.h"
#include "formats/fields.h"

#define FORMAT_NAME "preheat-page-order"

/* The keys that an object may have, in the sequence they are written in. */
static const char *const order_keys[] = {"format",  "version", "identity",
                                         "origin",  "runs",    "blocks",
                                         "extents", NULL};
static const char *const block_keys[] = {"name", "length", "page-size", NULL};
static const char *const extent_keys[] = {
    "block", "page", "count", "time-us", "access", "idle-loads", NULL};

static json_t *block_to_json(const PageOrder *order, size_t i)
{
    const PageOrderBlock *block = page_order_block(order, i);
    json_t *value = json_object();

    json_object_set_new(value, "name", json_string(block->name));
    json_object_set_new(value, "length",
                        json_integer((json_int_t)block->len_bytes));
    json_object_set_new(value, "page-size",
                        json_integer((json_int_t)block->page_bytes));
    return value;
}

static bool read_block(const Fields *fields, PageOrder *order,
                       GHashTable *indices, GError **error)
{
    const char *name;
    uint64_t len_bytes;
    uint64_t page_bytes;

    if (!fields_check_keys(fields, block_keys, error) ||
        !fields_string(fields, "name", &name, error) ||
        !fields_number(fields, "length", INT64_MAX, &len_bytes, error) ||
        !fields_number(fields, "page-size", INT64_MAX, &page_bytes, error)) {
        return false;
    }
    uint32_t index = page_order_add_block(order, name, len_bytes, page_bytes);
    g_hash_table_insert(indices, (char *)name, GUINT_TO_POINTER(index));
    return true;
}

static json_t *extent_to_json(const PageOrder *order, size_t i)
{
    const PageExtent *extent = page_order_extent(order, i);
    const PageOrderBlock *block = page_order_block(order, extent->span.block);
    json_t *value = json_object();

    json_object_set_new(value, "block", json_string(block->name));
    json_object_set_new(value, "page",
                        json_integer((json_int_t)extent->span.first_page));
    json_object_set_new(value, "count",
                        json_integer((json_int_t)extent->span.n_pages));
    json_object_set_new(value, "time-us",
                        json_integer((json_int_t)extent->time_us));
    if (extent->access != PAGE_ACCESS_UNKNOWN) {
        json_object_set_new(value, "access",
                            json_string(page_access_name(extent->access)));
    }
    if (extent->idle_loads != 0) {
        json_object_set_new(value, "idle-loads",
                            json_integer((json_int_t)extent->idle_loads));
    }
    return value;
}

static bool read_extent_block(const Fields *fields, GHashTable *indices,
                              PageExtent *extent, GError **error)
{
    const char *name;
    gpointer index;

    if (!fields_string(fields, "block", &name, error)) {
        return false;
    }
    if (!g_hash_table_lookup_extended(indices, name, NULL, &index)) {
        return fields_fail(fields, "block", FORMATS_ERROR_MALFORMED, error,
                           "\"%s\" is not in blocks", name);
    }
    extent->span.block = GPOINTER_TO_UINT(index);
    return true;
}

static bool read_access(const Fields *fields, PageExtent *extent,
                        GError **error)
{
    const char *name;

    if (!fields_has(fields, "access")) {
        return true;
    }
    if (!fields_string(fields, "access", &name, error)) {
        return false;
    }
    if (!page_access_from_name(name, &extent->access)) {
        return fields_fail(fields, "access", FORMATS_ERROR_MALFORMED, error,
                           "\"%s\" is not read, write or unknown", name);
    }
    return true;
}

static bool read_idle_loads(const Fields *fields, PageExtent *extent,
                            GError **error)
{
    uint64_t idle_loads;

    if (!fields_has(fields, "idle-loads")) {
        return true;
    }
    if (!fields_number(fields, "idle-loads", UINT32_MAX, &idle_loads, error)) {
        return false;
    }
    extent->idle_loads = (uint32_t)idle_loads;
    return true;
}

static bool read_extent(const Fields *fields, PageOrder *order,
                        GHashTable *indices, GError **error)
{
    PageExtent extent = {0};

    if (!fields_check_keys(fields, extent_keys, error) ||
        !read_extent_block(fields, indices, &extent, error) ||
        !fields_number(fields, "page", INT64_MAX, &extent.span.first_page,
                       error) ||
        !fields_number(fields, "count", INT64_MAX, &extent.span.n_pages,
                       error) ||
        !fields_number(fields, "time-us", INT64_MAX, &extent.time_us, error) ||
        !read_access(fields, &extent, error) ||
        !read_idle_loads(fields, &extent, error)) {
        return false;
    }
    g_array_append_val(order->extents, extent);
    return true;
}

/* The document without its lists. */
static json_t *scalars_to_json(const PageOrder *order)
{
    json_t *root = json_object();

    json_object_set_new(root, "format", json_string(FORMAT_NAME));
    json_object_set_new(root, "version", json_integer(PAGE_ORDER_VERSION));
    json_object_set_new(root, "identity",
                        order->identity ? json_string(order->identity)
                                        : json_null());
    json_object_set_new(root, "origin",
                        json_string(page_order_origin_name(order->origin)));
    json_object_set_new(root, "runs", json_integer(order->n_runs));
    return root;
}

/* Before anything else: a later version may have other keys. */
static bool check_format(const Fields *root, GError **error)
{
    const char *format;
    uint64_t version;

    if (!fields_string(root, "format", &format, error)) {
        return false;
    }
    if (strcmp(format, FORMAT_NAME) != 0) {
        return fields_fail(root, "format", FORMATS_ERROR_NOT_THIS, error,
                           "\"%s\" instead of \"%s\"", format, FORMAT_NAME);
    }
    if (!fields_number(root, "version", INT64_MAX, &version, error)) {
        return false;
    }
    if (version != PAGE_ORDER_VERSION) {
        return fields_fail(root, "version", FORMATS_ERROR_VERSION, error,
                           "%" G_GUINT64_FORMAT ", only version %d is known",
                           version, PAGE_ORDER_VERSION);
    }
    return fields_check_keys(root, order_keys, error);
}

static bool read_identity(const Fields *root, PageOrder *order, GError **error)
{
    const json_t *value = json_object_get(root->object, "identity");
    const char *identity;

    if (!value || json_is_null(value)) {
        return true;
    }
    if (!fields_string(root, "identity", &identity, error)) {
        return false;
    }
    order->identity = g_strdup(identity);
    return true;
}

static bool read_scalars(const Fields *root, PageOrder *order, GError **error)
{
    const char *origin;
    uint64_t n_runs;

    if (!read_identity(root, order, error) ||
        !fields_string(root, "origin", &origin, error) ||
        !fields_number(root, "runs", UINT32_MAX, &n_runs, error)) {
        return false;
    }
    if (!page_order_origin_from_name(origin, &order->origin)) {
        return fields_fail(root, "origin", FORMATS_ERROR_MALFORMED, error,
                           "\"%s\" is not save, load, learned or unknown",
                           origin);
    }
    order->n_runs = (uint32_t)n_runs;
    return true;
}

typedef bool ReadItem(const Fields *fields, PageOrder *order,
                      GHashTable *indices, GError **error);

static bool read_list(const Fields *root, const char *key, ReadItem *read_item,
                      PageOrder *order, GHashTable *indices, GError **error)
{
    const json_t *list;

    if (!fields_list(root, key, SIZE_MAX, &list, error)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        Fields item;

        if (!fields_entry(list, key, i, &item, error) ||
            !read_item(&item, order, indices, error)) {
            return false;
        }
    }
    return true;
}

static PageOrder *order_of_json(const json_t *root, GError **error)
{
    g_autoptr(PageOrder) order = page_order_new();
    /* Name, borrowed from root, to index. */
    g_autoptr(GHashTable) indices = g_hash_table_new(g_str_hash, g_str_equal);
    Fields document;

    if (!fields_document(root, &document, error) ||
        !check_format(&document, error) ||
        !read_scalars(&document, order, error) ||
        !read_list(&document, "blocks", read_block, order, indices, error) ||
        !read_list(&document, "extents", read_extent, order, indices, error) ||
        !page_order_check(order, error)) {
        return NULL;
    }
    return g_steal_pointer(&order);
}

PageOrder *page_order_from_json_text(const char *text, size_t len_bytes,
                                     GError **error)
{
    json_error_t mistake;

    json_t *root =
        json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, &mistake);
    if (!root) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_MALFORMED,
                    "line %d, column %d: %s", mistake.line, mistake.column,
                    mistake.text);
        return NULL;
    }
    PageOrder *order = order_of_json(root, error);
    json_decref(root);
    return order;
}

typedef json_t *ItemToJson(const PageOrder *order, size_t i);

static void append_value(GString *out, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY);

    g_string_append(out, text);
    free(text);
}

/* One item a line. */
static void append_list(GString *out, const char *key, const PageOrder *order,
                        const GArray *items, ItemToJson *item_to_json)
{
    g_string_append_printf(out, "  \"%s\": [", key);
    for (size_t i = 0; i < items->len; i++) {
        json_t *item = item_to_json(order, i);
        g_string_append(out, i > 0 ? ",\n    " : "\n    ");
        append_value(out, item);
        json_decref(item);
    }
    g_string_append(out, items->len > 0 ? "\n  ]" : "]");
}

char *page_order_to_json_text(const PageOrder *order)
{
    GString *out = g_string_new("{\n");
    json_t *scalars = scalars_to_json(order);
    const char *key;
    json_t *value;

    json_object_foreach(scalars, key, value)
    {
        g_string_append_printf(out, "  \"%s\": ", key);
        append_value(out, value);
        g_string_append(out, ",\n");
    }
    json_decref(scalars);
    append_list(out, "blocks", order, order->blocks, block_to_json);
    g_string_append(out, ",\n");
    append_list(out, "extents", order, order->extents, extent_to_json);
    g_string_append(out, "\n}\n");
    return g_string_free(out, FALSE);
}
