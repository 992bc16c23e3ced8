/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/profiler/orders/orders.h"

#include <string.h>

const char *identity_of(char digit)
{
    static char identity[PAGE_ORDER_IDENTITY_DIGITS + 1];

    memset(identity, digit, PAGE_ORDER_IDENTITY_DIGITS);
    return identity;
}

PageOrder *empty_order(void)
{
    PageOrder *order = page_order_new();

    page_order_add_block(order, "pc.ram", RAM_PAGES * 4096, 4096);
    page_order_add_block(order, "vga.vram", VRAM_PAGES * 4096, 4096);
    page_order_add_block(order, "pc.bios", BIOS_PAGES * 512, 512);
    order->identity = g_strdup(identity_of('a'));
    order->origin = PAGE_ORDER_ORIGIN_LOAD;
    return order;
}

void add(PageOrder *order, uint32_t block, uint64_t first_page,
         uint64_t n_pages, uint64_t time_us)
{
    PageExtent extent = {
        .span = {block, first_page, n_pages},
        .time_us = time_us,
    };

    g_array_append_val(order->extents, extent);
}

PageOrder *order_of_rows(const Row *rows, size_t n_rows)
{
    PageOrder *order = empty_order();

    for (size_t i = 0; i < n_rows; i++) {
        const PageExtent extent = {
            .span = {rows[i].block, rows[i].first_page, rows[i].n_pages},
            .time_us = rows[i].time_us,
            .idle_loads = rows[i].idle_loads,
            .access = rows[i].access,
        };

        g_array_append_val(order->extents, extent);
    }
    return order;
}

guint n_pages_of(uint32_t block)
{
    static const guint n_pages[N_BLOCKS] = {RAM_PAGES, VRAM_PAGES, BIOS_PAGES};

    return n_pages[block];
}

PageOrder *random_order(GRand *rand, guint max_extents, gboolean by_time)
{
    PageOrder *order = empty_order();
    guint n_extents = g_rand_int_range(rand, 0, max_extents + 1);
    uint64_t now_us = 0;

    for (guint i = 0; i < n_extents; i++) {
        uint32_t block = g_rand_int_range(rand, 0, N_BLOCKS);
        guint first_page = g_rand_int_range(rand, 0, n_pages_of(block));
        guint room = MIN(n_pages_of(block) - first_page, 24);
        PageExtent extent = {
            .span = {block, first_page, g_rand_int_range(rand, 1, room + 1)},
            .access = g_rand_int_range(rand, 0, 3),
            .idle_loads = g_rand_int_range(rand, 0, 3),
        };

        now_us += g_rand_int_range(rand, 0, 5000);
        extent.time_us =
            by_time ? now_us : (uint64_t)g_rand_int_range(rand, 0, 100000);
        g_array_append_val(order->extents, extent);
    }
    return order;
}

gint64 *owners_of(const PageOrder *order, uint32_t block)
{
    guint n_pages = n_pages_of(block);
    gint64 *owners = g_new(gint64, n_pages);

    for (guint page = 0; page < n_pages; page++) {
        owners[page] = -1;
    }
    for (guint i = order->extents->len; i-- > 0;) {
        const PageExtent *extent = page_order_extent(order, i);

        if (extent->span.block != block) {
            continue;
        }
        for (uint64_t k = 0; k < extent->span.n_pages; k++) {
            owners[extent->span.first_page + k] = i;
        }
    }
    return owners;
}

void assert_extents(const PageOrder *order, const PageOrder *expected)
{
    assert_int_equal(order->extents->len, expected->extents->len);
    for (guint i = 0; i < expected->extents->len; i++) {
        const PageExtent *is = page_order_extent(order, i);
        const PageExtent *should = page_order_extent(expected, i);

        assert_int_equal(is->span.block, should->span.block);
        assert_int_equal(is->span.first_page, should->span.first_page);
        assert_int_equal(is->span.n_pages, should->span.n_pages);
        assert_int_equal(is->time_us, should->time_us);
    }
}

void assert_rows(const PageOrder *order, const Row *rows, size_t n_rows)
{
    g_autoptr(PageOrder) expected = order_of_rows(rows, n_rows);

    assert_extents(order, expected);
}

guint n_pages_in(const PageOrder *order)
{
    guint n_pages = 0;

    for (uint32_t block = 0; block < N_BLOCKS; block++) {
        g_autofree gint64 *owners = owners_of(order, block);

        for (guint page = 0; page < n_pages_of(block); page++) {
            n_pages += owners[page] >= 0;
        }
    }
    return n_pages;
}

gboolean has_page(const PageOrder *order, uint32_t block, uint64_t page)
{
    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        if (extent->span.block == block && page >= extent->span.first_page &&
            page - extent->span.first_page < extent->span.n_pages) {
            return TRUE;
        }
    }
    return FALSE;
}

void assert_superset(const PageOrder *a, const PageOrder *b)
{
    for (uint32_t block = 0; block < N_BLOCKS; block++) {
        for (guint page = 0; page < n_pages_of(block); page++) {
            assert_true(has_page(a, block, page) || !has_page(b, block, page));
        }
    }
}

void assert_disjoint(const PageOrder *order)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

    assert_true(page_order_check(order, NULL));
    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        for (uint64_t k = 0; k < extent->span.n_pages; k++) {
            gsize page =
                (extent->span.first_page + k) * N_BLOCKS + extent->span.block;

            assert_true(g_hash_table_add(seen, GSIZE_TO_POINTER(page)));
        }
    }
}
