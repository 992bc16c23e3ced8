/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/page-order.h"

#include <string.h>

#include "formats/block-name.h"
#include "formats/error.h"

#define MIN_PAGE_BYTES     UINT64_C(512)
#define MERGE_MAX_DELAY_US UINT64_C(1000)
#define HEXADECIMAL_DIGITS "0123456789abcdef"

static const char *const access_names[] = {
    [PAGE_ACCESS_UNKNOWN] = "unknown",
    [PAGE_ACCESS_READ] = "read",
    [PAGE_ACCESS_WRITE] = "write",
};

static const char *const origin_names[] = {
    [PAGE_ORDER_ORIGIN_UNKNOWN] = "unknown",
    [PAGE_ORDER_ORIGIN_SAVE] = "save",
    [PAGE_ORDER_ORIGIN_LOAD] = "load",
    [PAGE_ORDER_ORIGIN_LEARNED] = "learned",
};

static void clear_block(gpointer data)
{
    PageOrderBlock *block = data;

    g_free(block->name);
}

PageOrder *page_order_new(void)
{
    PageOrder *order = g_new0(PageOrder, 1);

    order->blocks = g_array_new(FALSE, FALSE, sizeof(PageOrderBlock));
    g_array_set_clear_func(order->blocks, clear_block);
    order->extents = g_array_new(FALSE, FALSE, sizeof(PageExtent));
    order->n_runs = 1;
    return order;
}

void page_order_free(PageOrder *order)
{
    if (!order) {
        return;
    }
    g_array_unref(order->blocks);
    g_array_unref(order->extents);
    g_free(order->identity);
    g_free(order);
}

PageOrder *page_order_new_like(const PageOrder *order)
{
    PageOrder *like = page_order_new();

    for (size_t i = 0; i < order->blocks->len; i++) {
        const PageOrderBlock *block = page_order_block(order, i);

        page_order_add_block(like, block->name, block->len_bytes,
                             block->page_bytes);
    }
    like->identity = g_strdup(order->identity);
    like->origin = order->origin;
    like->n_runs = order->n_runs;
    return like;
}

PageOrder *page_order_copy(const PageOrder *order)
{
    PageOrder *copy = page_order_new_like(order);

    g_array_append_vals(copy->extents, order->extents->data,
                        order->extents->len);
    return copy;
}

uint32_t page_order_add_block(PageOrder *order, const char *name,
                              uint64_t len_bytes, uint64_t page_bytes)
{
    const PageOrderBlock block = {.name = g_strdup(name),
                                  .len_bytes = len_bytes,
                                  .page_bytes = page_bytes};

    g_array_append_val(order->blocks, block);
    return order->blocks->len - 1;
}

int64_t page_order_find_block(const PageOrder *order, const char *name)
{
    for (size_t i = 0; i < order->blocks->len; i++) {
        if (strcmp(page_order_block(order, i)->name, name) == 0) {
            return (int64_t)i;
        }
    }
    return -1;
}

static bool goes_on(const PageExtent *last, const PageExtent *next)
{
    const uint64_t delay_us = next->time_us > last->time_us
                                  ? next->time_us - last->time_us
                                  : last->time_us - next->time_us;

    return page_span_meets(&last->span, &next->span) &&
           next->access == last->access &&
           next->idle_loads == last->idle_loads &&
           delay_us < MERGE_MAX_DELAY_US;
}

void page_order_append(PageOrder *order, const PageExtent *extent)
{
    GArray *extents = order->extents;

    if (extents->len > 0) {
        PageExtent *last =
            &g_array_index(extents, PageExtent, extents->len - 1);
        if (goes_on(last, extent)) {
            last->span.n_pages += extent->span.n_pages;
            return;
        }
    }
    g_array_append_vals(extents, extent, 1);
}

static bool malformed(GError **error, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

static bool malformed(GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, FORMATS_ERROR, FORMATS_ERROR_MALFORMED, text);
    return false;
}

static bool check_identity(const PageOrder *order, GError **error)
{
    const char *identity = order->identity;

    if (identity &&
        (strlen(identity) != PAGE_ORDER_IDENTITY_DIGITS ||
         strspn(identity, HEXADECIMAL_DIGITS) != PAGE_ORDER_IDENTITY_DIGITS)) {
        return malformed(error,
                         "identity: not %d lower-case hexadecimal digits",
                         PAGE_ORDER_IDENTITY_DIGITS);
    }
    if (order->n_runs == 0) {
        return malformed(error, "runs: must be at least 1");
    }
    if (!page_order_origin_name(order->origin)) {
        return malformed(error, "origin: %d is unknown", (int)order->origin);
    }
    return true;
}

static bool check_counts(const PageOrder *order, GError **error)
{
    if (order->blocks->len > PAGE_ORDER_MAX_BLOCKS) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "blocks: %u of them, at most %d are accepted",
                    order->blocks->len, PAGE_ORDER_MAX_BLOCKS);
        return false;
    }
    if (order->extents->len > PAGE_ORDER_MAX_EXTENTS) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "extents: %u of them, at most %" G_GUINT64_FORMAT
                    " are accepted",
                    order->extents->len, PAGE_ORDER_MAX_EXTENTS);
        return false;
    }
    return true;
}

static bool check_block(const PageOrderBlock *block, size_t i, GError **error)
{
    const uint64_t page_bytes = block->page_bytes;

    if (!block_name_is_valid(block->name, strlen(block->name))) {
        return malformed(error,
                         "blocks[%zu].name: not 1 to %d bytes of printable "
                         "UTF-8",
                         i, BLOCK_NAME_MAX_BYTES);
    }
    if (page_bytes < MIN_PAGE_BYTES || (page_bytes & (page_bytes - 1)) != 0) {
        return malformed(error,
                         "blocks[%zu].page-size: %" G_GUINT64_FORMAT
                         " is not a power of two from %" G_GUINT64_FORMAT,
                         i, page_bytes, MIN_PAGE_BYTES);
    }
    if (block->len_bytes == 0 || block->len_bytes % page_bytes != 0) {
        return malformed(
            error,
            "blocks[%zu].length: %" G_GUINT64_FORMAT
            " is not a multiple of the page size %" G_GUINT64_FORMAT,
            i, block->len_bytes, page_bytes);
    }
    if (block->len_bytes > INT64_MAX) {
        return malformed(error,
                         "blocks[%zu].length: %" G_GUINT64_FORMAT
                         " is beyond 63 bits",
                         i, block->len_bytes);
    }
    return true;
}

static bool check_blocks(const PageOrder *order, GError **error)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

    for (size_t i = 0; i < order->blocks->len; i++) {
        const PageOrderBlock *block = page_order_block(order, i);
        if (!check_block(block, i, error)) {
            return false;
        }
        if (!g_hash_table_add(names, block->name)) {
            return malformed(error, "blocks[%zu].name: \"%s\" occurs twice", i,
                             block->name);
        }
    }
    return true;
}

static bool check_extent(const PageOrder *order, size_t i, GError **error)
{
    const PageExtent *extent = page_order_extent(order, i);

    if (extent->span.block >= order->blocks->len) {
        return malformed(error,
                         "extents[%zu].block: %zu, but there are %u blocks", i,
                         extent->span.block, order->blocks->len);
    }
    const PageOrderBlock *block = page_order_block(order, extent->span.block);
    const uint64_t n_pages = block->len_bytes / block->page_bytes;
    if (extent->span.first_page >= n_pages) {
        return malformed(error,
                         "extents[%zu].page: %" G_GUINT64_FORMAT
                         ", but block \"%s\" has %" G_GUINT64_FORMAT " pages",
                         i, extent->span.first_page, block->name, n_pages);
    }
    if (extent->span.n_pages == 0 ||
        extent->span.n_pages > n_pages - extent->span.first_page) {
        return malformed(error,
                         "extents[%zu].count: %" G_GUINT64_FORMAT
                         ", but block \"%s\" has %" G_GUINT64_FORMAT
                         " pages from page %" G_GUINT64_FORMAT,
                         i, extent->span.n_pages, block->name,
                         n_pages - extent->span.first_page,
                         extent->span.first_page);
    }
    if (extent->time_us > INT64_MAX) {
        return malformed(error,
                         "extents[%zu].time-us: %" G_GUINT64_FORMAT
                         " is beyond 63 bits",
                         i, extent->time_us);
    }
    if (!page_access_name(extent->access)) {
        return malformed(error, "extents[%zu].access: %d is unknown", i,
                         (int)extent->access);
    }
    return true;
}

bool page_order_check(const PageOrder *order, GError **error)
{
    if (!check_identity(order, error) || !check_counts(order, error) ||
        !check_blocks(order, error)) {
        return false;
    }
    for (size_t i = 0; i < order->extents->len; i++) {
        if (!check_extent(order, i, error)) {
            return false;
        }
    }
    return true;
}

static bool blocks_equal(const PageOrderBlock *a, const PageOrderBlock *b)
{
    return strcmp(a->name, b->name) == 0 && a->len_bytes == b->len_bytes &&
           a->page_bytes == b->page_bytes;
}

static bool extents_equal(const PageExtent *a, const PageExtent *b)
{
    return a->span.first_page == b->span.first_page &&
           a->span.n_pages == b->span.n_pages && a->time_us == b->time_us &&
           a->span.block == b->span.block && a->idle_loads == b->idle_loads &&
           a->access == b->access;
}

bool page_order_equal(const PageOrder *a, const PageOrder *b)
{
    if (g_strcmp0(a->identity, b->identity) != 0 || a->origin != b->origin ||
        a->n_runs != b->n_runs || a->blocks->len != b->blocks->len ||
        a->extents->len != b->extents->len) {
        return false;
    }
    for (size_t i = 0; i < a->blocks->len; i++) {
        if (!blocks_equal(page_order_block(a, i), page_order_block(b, i))) {
            return false;
        }
    }
    for (size_t i = 0; i < a->extents->len; i++) {
        if (!extents_equal(page_order_extent(a, i), page_order_extent(b, i))) {
            return false;
        }
    }
    return true;
}

/* names[value], or NULL beyond them. */
static const char *name_of(const char *const *names, size_t n_names,
                           unsigned value)
{
    return value < n_names ? names[value] : NULL;
}

static bool value_of(const char *const *names, size_t n_names, const char *name,
                     unsigned *ret_value)
{
    for (unsigned i = 0; i < n_names; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_value = i;
            return true;
        }
    }
    return false;
}

const char *page_access_name(PageAccess access)
{
    return name_of(access_names, G_N_ELEMENTS(access_names), access);
}

bool page_access_from_name(const char *name, PageAccess *ret_access)
{
    unsigned value;

    if (!value_of(access_names, G_N_ELEMENTS(access_names), name, &value)) {
        return false;
    }
    *ret_access = (PageAccess)value;
    return true;
}

const char *page_order_origin_name(PageOrderOrigin origin)
{
    return name_of(origin_names, G_N_ELEMENTS(origin_names), origin);
}

bool page_order_origin_from_name(const char *name, PageOrderOrigin *ret_origin)
{
    unsigned value;

    if (!value_of(origin_names, G_N_ELEMENTS(origin_names), name, &value)) {
        return false;
    }
    *ret_origin = (PageOrderOrigin)value;
    return true;
}
