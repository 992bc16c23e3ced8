/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a load records, and what it learns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/pager/pager-world.h"

static GArray *all_blocks(const World *world)
{
    GArray *blocks = g_array_new(FALSE, FALSE, sizeof(PageOrderBlock));

    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        const PageOrderBlock block = {world->snapshot->blocks[i].name,
                                      world->snapshot->blocks[i].len_bytes,
                                      FAKE_PAGE_BYTES};
        g_array_append_val(blocks, block);
    }
    return blocks;
}

static uint64_t count_pages(const PageOrder *order, uint64_t from, uint64_t to)
{
    uint64_t n_pages = 0;

    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        for (uint64_t j = 0; j < extent->span.n_pages; j++) {
            uint64_t page = extent->span.first_page + j;
            n_pages += page >= from && page < to;
        }
    }
    return n_pages;
}

static PageOrder *order_of(const World *world, Recorder *recorder)
{
    g_autoptr(GArray) blocks = all_blocks(world);
    g_autoptr(GError) error = NULL;
    PageOrder *order = recorder_to_order(recorder, blocks, 0, NULL,
                                         PAGE_ORDER_ORIGIN_LEARNED, &error);

    assert_non_null(order);
    return order;
}

static void first_touches_are_recorded_and_nothing_is_prefetched(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    world_observe(world, OBSERVE_RECORDING);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    assert_true(world_page_is_right(world, 1, 30));
    world_page(world, 0, 20)[5] = 1;
    assert_true(world_page_is_right(world, 1, 30));
    assert_true(world_page_is_right(world, 1, 10));
    assert_int_equal(pager_state(world->pager), LOAD_STATE_RECORDING);
    assert_int_equal(fake_source_n_reads(world->source), 3);
    pager_end_observation(world->pager);
    assert_true(world->observed);
    world_await(world, LOAD_GOAL_RECORDED);
    world_await(world, LOAD_GOAL_ALL);

    g_autoptr(PageOrder) order = order_of(world, world->observe.touched);
    assert_int_equal(order->extents->len, 3);
    assert_int_equal(page_order_extent(order, 0)->span.block, 1);
    assert_int_equal(page_order_extent(order, 0)->span.first_page, 30);
    assert_int_equal(page_order_extent(order, 0)->access, PAGE_ACCESS_READ);
    assert_int_equal(page_order_extent(order, 1)->span.first_page, 20);
    assert_int_equal(page_order_extent(order, 1)->access, PAGE_ACCESS_WRITE);
    assert_int_equal(page_order_extent(order, 2)->span.first_page, 10);
    world_free(world);
}

static void
learning_tells_untouched_pages_of_the_order_and_missed_ones(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 0, 0, 2000);

    world_observe(world, OBSERVE_LEARNING);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    world_await(world, LOAD_GOAL_HOT);
    for (uint64_t page = 0; page < 1000; page++) {
        assert_true(world_page_is_right(world, 0, page));
    }
    pager_end_observation(world->pager);
    assert_true(world->observed);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);

    g_autoptr(PageOrder) missed = order_of(world, world->observe.touched);
    g_autoptr(PageOrder) unused = order_of(world, world->observe.untouched);
    /* About an eighth of each half. */
    assert_in_range(count_pages(missed, 0, 1000), 20, 400);
    assert_in_range(count_pages(unused, 1000, 2000), 20, 400);
    assert_int_equal(count_pages(unused, 0, 1000), 0);
    assert_int_equal(count_pages(missed, 1000, 2000), 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(first_touches_are_recorded_and_nothing_is_prefetched),
        FOR_BOTH_KINDS(
            learning_tells_untouched_pages_of_the_order_and_missed_ones),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
