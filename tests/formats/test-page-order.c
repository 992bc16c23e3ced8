/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

static PageOrder *order_of_one_block(void)
{
    PageOrder *order = page_order_new();

    page_order_add_block(order, "pc.ram", 64 * 4096, 4096);
    return order;
}

static void append(PageOrder *order, uint64_t first_page, uint64_t time_us,
                   PageAccess access)
{
    const PageExtent extent = {
        .span = {0, first_page, 1}, .time_us = time_us, .access = access};

    page_order_append(order, &extent);
}

static void a_new_order_is_empty_and_valid(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();

    assert_int_equal(order->blocks->len, 0);
    assert_int_equal(order->extents->len, 0);
    assert_int_equal(order->origin, PAGE_ORDER_ORIGIN_UNKNOWN);
    assert_int_equal(order->n_runs, 1);
    assert_null(order->identity);
    assert_true(page_order_check(order, NULL));
}

static void freeing_nothing_is_fine(void **state)
{
    page_order_free(NULL);
}

static void a_block_is_found_by_its_name(void **state)
{
    g_autoptr(PageOrder) order = sample_order();

    assert_int_equal(page_order_find_block(order, "pc.ram"), 0);
    assert_int_equal(
        page_order_find_block(order, page_order_block(order, 1)->name), 1);
    assert_int_equal(page_order_find_block(order, "pc.rom"), -1);
}

static void pages_that_go_on_within_a_millisecond_are_one_extent(void **state)
{
    g_autoptr(PageOrder) order = order_of_one_block();

    append(order, 7, 5000, PAGE_ACCESS_READ);
    append(order, 8, 5999, PAGE_ACCESS_READ);
    append(order, 9, 4001, PAGE_ACCESS_READ);
    assert_int_equal(order->extents->len, 1);
    assert_int_equal(page_order_extent(order, 0)->span.first_page, 7);
    assert_int_equal(page_order_extent(order, 0)->span.n_pages, 3);
    assert_int_equal(page_order_extent(order, 0)->time_us, 5000);
}

static void
pages_apart_in_time_place_or_kind_are_extents_of_their_own(void **state)
{
    g_autoptr(PageOrder) order = order_of_one_block();
    const PageExtent idle = {
        .span = {0, 13, 1}, .time_us = 6000, .idle_loads = 1};
    const PageExtent other_block = {.span = {1, 14, 1}, .time_us = 6000};

    append(order, 7, 5000, PAGE_ACCESS_READ);
    append(order, 8, 6000, PAGE_ACCESS_READ);
    append(order, 10, 6000, PAGE_ACCESS_READ);
    append(order, 9, 6000, PAGE_ACCESS_READ);
    append(order, 10, 6000, PAGE_ACCESS_WRITE);
    append(order, 12, 6000, PAGE_ACCESS_UNKNOWN);
    page_order_append(order, &idle);
    page_order_append(order, &other_block);
    assert_int_equal(order->extents->len, 8);
}

static void a_copy_is_equal_and_independent(void **state)
{
    g_autoptr(PageOrder) order = sample_order();
    g_autoptr(PageOrder) copy = page_order_copy(order);

    assert_true(page_order_equal(order, copy));
    g_array_index(copy->extents, PageExtent, 3).time_us++;
    assert_false(page_order_equal(order, copy));
}

static void every_field_counts_for_equality(void **state)
{
    g_autoptr(PageOrder) order = sample_order();
    g_autoptr(PageOrder) identity = page_order_copy(order);
    g_autoptr(PageOrder) block = page_order_copy(order);
    g_autoptr(PageOrder) extent = page_order_copy(order);
    g_autoptr(PageOrder) runs = page_order_copy(order);

    g_clear_pointer(&identity->identity, g_free);
    g_array_index(block->blocks, PageOrderBlock, 1).len_bytes *= 2;
    g_array_set_size(extent->extents, 6);
    runs->n_runs++;
    assert_false(page_order_equal(order, identity));
    assert_false(page_order_equal(order, block));
    assert_false(page_order_equal(order, extent));
    assert_false(page_order_equal(order, runs));
}

static PageExtent *extent_of(PageOrder *order, size_t i)
{
    return &g_array_index(order->extents, PageExtent, i);
}

static PageOrderBlock *block_of(PageOrder *order, size_t i)
{
    return &g_array_index(order->blocks, PageOrderBlock, i);
}

static void zero_count(PageOrder *order)
{
    extent_of(order, 2)->span.n_pages = 0;
}

static void count_beyond_block(PageOrder *order)
{
    extent_of(order, 2)->span.n_pages = 10;
}

static void count_that_wraps(PageOrder *order)
{
    extent_of(order, 3)->span.n_pages = UINT64_MAX;
}

static void page_beyond_block(PageOrder *order)
{
    extent_of(order, 6)->span.first_page = 9;
}

static void block_out_of_range(PageOrder *order)
{
    extent_of(order, 1)->span.block = 2;
}

static void time_beyond_63_bits(PageOrder *order)
{
    extent_of(order, 1)->time_us = UINT64_C(1) << 63;
}

static void access_of_no_name(PageOrder *order)
{
    extent_of(order, 0)->access = (PageAccess)3;
}

static void empty_name(PageOrder *order)
{
    block_of(order, 1)->name[0] = '\0';
}

static void name_that_is_not_utf8(PageOrder *order)
{
    block_of(order, 1)->name[0] = '\xff';
}

static void name_there_twice(PageOrder *order)
{
    page_order_add_block(order, "pc.ram", 4096, 4096);
}

static void page_size_no_power_of_two(PageOrder *order)
{
    block_of(order, 0)->page_bytes = 4095;
}

static void page_size_too_small(PageOrder *order)
{
    block_of(order, 1)->page_bytes = 256;
}

static void length_no_multiple(PageOrder *order)
{
    block_of(order, 1)->len_bytes++;
}

static void length_zero(PageOrder *order)
{
    block_of(order, 0)->len_bytes = 0;
}

static void length_beyond_63_bits(PageOrder *order)
{
    block_of(order, 0)->len_bytes = UINT64_C(1) << 63;
}

static void identity_in_capitals(PageOrder *order)
{
    order->identity[63] = 'F';
}

static void identity_too_short(PageOrder *order)
{
    order->identity[63] = '\0';
}

static void no_runs(PageOrder *order)
{
    order->n_runs = 0;
}

static void origin_of_no_name(PageOrder *order)
{
    order->origin = (PageOrderOrigin)4;
}

static void too_many_blocks(PageOrder *order)
{
    for (int i = 0; i < PAGE_ORDER_MAX_BLOCKS; i++) {
        page_order_add_block(order, "x", 4096, 4096);
    }
}

static void each_broken_invariant_is_named(void **state)
{
    static const struct {
        void (*break_it)(PageOrder *order);
        const char *text;
    } cases[] = {
        {zero_count, "extents[2].count"},
        {count_beyond_block, "extents[2].count: 10"},
        {count_that_wraps, "extents[3].count"},
        {page_beyond_block, "extents[6].page: 9"},
        {block_out_of_range, "extents[1].block: 2"},
        {time_beyond_63_bits, "extents[1].time-us"},
        {access_of_no_name, "extents[0].access"},
        {empty_name, "blocks[1].name"},
        {name_that_is_not_utf8, "blocks[1].name"},
        {name_there_twice, "blocks[2].name: \"pc.ram\" occurs twice"},
        {page_size_no_power_of_two, "blocks[0].page-size: 4095"},
        {page_size_too_small, "blocks[1].page-size: 256"},
        {length_no_multiple, "blocks[1].length"},
        {length_zero, "blocks[0].length"},
        {length_beyond_63_bits, "blocks[0].length"},
        {identity_in_capitals, "identity"},
        {identity_too_short, "identity"},
        {no_runs, "runs"},
        {origin_of_no_name, "origin"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(PageOrder) order = sample_order();
        GError *error = NULL;
        assert_true(page_order_check(order, NULL));
        cases[i].break_it(order);
        assert_false(page_order_check(order, &error));
        assert_error(error, FORMATS_ERROR_MALFORMED, cases[i].text);
    }
}

static void too_many_blocks_are_too_large(void **state)
{
    g_autoptr(PageOrder) order = sample_order();
    GError *error = NULL;

    too_many_blocks(order);
    assert_false(page_order_check(order, &error));
    assert_error(error, FORMATS_ERROR_TOO_LARGE, "blocks: 4098");
}

static void names_of_values_go_both_ways(void **state)
{
    for (int i = PAGE_ACCESS_UNKNOWN; i <= PAGE_ACCESS_WRITE; i++) {
        PageAccess access;
        assert_true(
            page_access_from_name(page_access_name((PageAccess)i), &access));
        assert_int_equal(access, i);
    }
    for (int i = 0; i <= PAGE_ORDER_ORIGIN_LEARNED; i++) {
        PageOrderOrigin origin;
        assert_true(page_order_origin_from_name(
            page_order_origin_name((PageOrderOrigin)i), &origin));
        assert_int_equal(origin, i);
    }
}

static void unknown_names_of_values_are_none(void **state)
{
    PageAccess access;
    PageOrderOrigin origin;

    assert_false(page_access_from_name("execute", &access));
    assert_false(page_order_origin_from_name("", &origin));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_order_is_empty_and_valid),
        cmocka_unit_test(freeing_nothing_is_fine),
        cmocka_unit_test(a_block_is_found_by_its_name),
        cmocka_unit_test(pages_that_go_on_within_a_millisecond_are_one_extent),
        cmocka_unit_test(
            pages_apart_in_time_place_or_kind_are_extents_of_their_own),
        cmocka_unit_test(a_copy_is_equal_and_independent),
        cmocka_unit_test(every_field_counts_for_equality),
        cmocka_unit_test(each_broken_invariant_is_named),
        cmocka_unit_test(too_many_blocks_are_too_large),
        cmocka_unit_test(names_of_values_go_both_ways),
        cmocka_unit_test(unknown_names_of_values_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
