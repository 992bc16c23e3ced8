/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/normalise.h"

#include "profiler/orders/segments.h"
#include "tests/profiler/orders/orders.h"

#define ROUNDS 300

static void an_empty_order_stays_empty(void **state)
{
    g_autoptr(PageOrder) order = empty_order();
    g_autoptr(PageOrder) normal = order_normalise(order);

    assert_true(page_order_equal(normal, order));
}

static void the_first_extent_wins_a_page(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 10, 10, 5000}, {RAM, 5, 30, 9000}, {RAM, 0, 7, 2000},
                 {RAM, 12, 2, 0});
    g_autoptr(PageOrder) normal = order_normalise(order);

    ASSERT_EXTENTS(normal, {RAM, 10, 10, 5000}, {RAM, 5, 5, 9000},
                   {RAM, 20, 15, 9000}, {RAM, 0, 5, 2000});
}

static void the_same_pages_of_different_blocks_stay(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({VRAM, 0, VRAM_PAGES, 0}, {RAM, 0, RAM_PAGES, 0},
                 {BIOS, 0, BIOS_PAGES, 0});
    g_autoptr(PageOrder) normal = order_normalise(order);

    assert_extents(normal, order);
}

static void neighbours_in_sequence_are_merged(void **state)
{
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 4, 4, 100}, {RAM, 8, 4, 200}, {RAM, 0, 4, 300});
    g_autoptr(PageOrder) normal = order_normalise(order);

    ASSERT_EXTENTS(normal, {RAM, 4, 8, 100}, {RAM, 0, 4, 300});
}

static void a_block_as_large_as_numbers_go_is_no_matter(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();
    g_autoptr(GArray) segments = NULL;
    uint64_t n_pages = INT64_MAX / 512;

    page_order_add_block(order, "huge", n_pages * 512, 512);
    add(order, 0, n_pages - 10, 10, 0);
    add(order, 0, 0, n_pages, 0);
    assert_true(page_order_check(order, NULL));
    segments = order_segments(order, NULL);

    assert_int_equal(segments->len, 2);
    assert_int_equal(segment_at(segments, 0)->extent, 1);
    assert_int_equal(segments_n_pages(segments), n_pages);
}

static void a_block_map_renumbers_the_segments(void **state)
{
    g_autoptr(PageOrder) order = ORDER_OF({RAM, 0, 1, 0}, {VRAM, 0, 1, 0});
    const uint32_t map[N_BLOCKS] = {7, 2, 4};
    g_autoptr(GArray) segments = order_segments(order, map);

    assert_int_equal(segment_at(segments, 0)->span.block, 2);
    assert_int_equal(segment_at(segments, 0)->extent, 1);
    assert_int_equal(segment_at(segments, 1)->span.block, 7);
}

static void normalised_orders_have_each_page_once(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);

    for (guint round = 0; round < ROUNDS; round++) {
        g_autoptr(PageOrder) order = random_order(rand, 80, FALSE);
        g_autoptr(PageOrder) normal = order_normalise(order);

        assert_disjoint(normal);
    }
}

static void a_normalised_order_stays_as_it_is(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);

    for (guint round = 0; round < ROUNDS; round++) {
        g_autoptr(PageOrder) order = random_order(rand, 80, round & 1);
        g_autoptr(PageOrder) once = order_normalise(order);
        g_autoptr(PageOrder) twice = order_normalise(once);

        assert_true(page_order_equal(once, twice));
    }
}

static void segments_agree_with_a_count_page_by_page(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(4);

    for (guint round = 0; round < ROUNDS; round++) {
        g_autoptr(PageOrder) order = random_order(rand, 80, FALSE);
        g_autoptr(GArray) segments = order_segments(order, NULL);
        guint i = 0;

        for (uint32_t block = 0; block < N_BLOCKS; block++) {
            g_autofree gint64 *owners = owners_of(order, block);

            for (uint64_t page = 0; page < n_pages_of(block); page++) {
                const PageSegment *segment;

                if (owners[page] < 0) {
                    continue;
                }
                segment = segment_at(segments, i);
                assert_int_equal(segment->span.block, block);
                assert_int_equal(segment->extent, owners[page]);
                assert_in_range(page, segment->span.first_page,
                                segment->span.first_page +
                                    segment->span.n_pages - 1);
                i += page + 1 ==
                     segment->span.first_page + segment->span.n_pages;
            }
        }
        assert_int_equal(i, segments->len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_order_stays_empty),
        cmocka_unit_test(the_first_extent_wins_a_page),
        cmocka_unit_test(the_same_pages_of_different_blocks_stay),
        cmocka_unit_test(neighbours_in_sequence_are_merged),
        cmocka_unit_test(a_block_as_large_as_numbers_go_is_no_matter),
        cmocka_unit_test(a_block_map_renumbers_the_segments),
        cmocka_unit_test(normalised_orders_have_each_page_once),
        cmocka_unit_test(a_normalised_order_stays_as_it_is),
        cmocka_unit_test(segments_agree_with_a_count_page_by_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
