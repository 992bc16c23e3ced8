/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In which sequence an order is replayed.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "profiler/orders/replay.h"

#define N_BLOCKS   2
#define N_PAGES    4096
#define PAGE_BYTES UINT64_C(4096)
#define ALL_PAGES  UINT64_MAX

/* Later than this after all before, a page is in the next phase. */
#define NEXT_PHASE_US 30000

typedef struct World {
    ReplayBlock blocks[N_BLOCKS];
    PageOrder *order;
    Replay *replay;
} World;

static World *world_new_sized(uint64_t n_pages)
{
    World *world = g_new0(World, 1);

    world->blocks[0] = (ReplayBlock){"block0", PAGE_BYTES, n_pages};
    world->blocks[1] = (ReplayBlock){"block1", PAGE_BYTES, n_pages};
    world->order = page_order_new();
    for (size_t i = 0; i < N_BLOCKS; i++) {
        page_order_add_block(world->order, world->blocks[i].name,
                             n_pages * PAGE_BYTES, PAGE_BYTES);
    }
    return world;
}

static World *world_new(void)
{
    return world_new_sized(N_PAGES);
}

/* In which of the order's blocks; the phase tells the time. */
static void add_extent(World *world, unsigned phase, uint32_t block,
                       uint64_t first_page, uint64_t n_pages)
{
    const PageExtent extent = {
        .span = {block, first_page, n_pages},
        .time_us = phase * (uint64_t)NEXT_PHASE_US,
    };

    g_array_append_val(world->order->extents, extent);
}

static void world_start(World *world)
{
    g_autoptr(GError) error = NULL;

    if (!page_order_check(world->order, &error)) {
        fail_msg("%s", error->message);
    }
    world->replay = replay_new(world->order, world->blocks, N_BLOCKS);
    page_order_free(world->order);
    world->order = NULL;
}

static void world_free(World *world)
{
    replay_free(world->replay);
    g_free(world);
}

static void assert_next_of(World *world, uint64_t max_pages, size_t block,
                           uint64_t first_page, uint64_t n_pages)
{
    PageSpan span;

    assert_true(replay_next(world->replay, max_pages, &span));
    assert_int_equal(span.block, block);
    assert_int_equal(span.first_page, first_page);
    assert_int_equal(span.n_pages, n_pages);
}

static void assert_next(World *world, size_t block, uint64_t first_page,
                        uint64_t n_pages)
{
    assert_next_of(world, ALL_PAGES, block, first_page, n_pages);
}

static void assert_end(World *world)
{
    PageSpan span;

    assert_false(replay_next(world->replay, ALL_PAGES, &span));
    assert_false(replay_next(world->replay, ALL_PAGES, &span));
}

static void set_bit(uint64_t *bitmap, uint64_t page)
{
    bitmap[page / 64] |= UINT64_C(1) << (page % 64);
}

/* ---- the sequence ---- */

static void an_empty_order_gives_nothing(void **state)
{
    World *world = world_new();

    world_start(world);
    assert_false(replay_steer(world->replay, 0, 0));
    assert_end(world);
    world_free(world);
}

static void a_replay_that_is_rewound_gives_all_again(void **state)
{
    World *world = world_new();

    add_extent(world, 0, 1, 50, 1);
    add_extent(world, 1, 0, 500, 4);
    world_start(world);
    assert_next(world, 1, 50, 1);
    assert_next_of(world, 3, 0, 500, 3);
    replay_rewind(world->replay);
    assert_next(world, 1, 50, 1);
    assert_next(world, 0, 500, 4);
    assert_end(world);
    replay_rewind(world->replay);
    assert_next(world, 1, 50, 1);
    world_free(world);
}

static void phases_come_in_sequence_and_each_in_file_order(void **state)
{
    World *world = world_new();

    add_extent(world, 0, 1, 50, 1);
    add_extent(world, 0, 0, 900, 2);
    add_extent(world, 0, 0, 100, 3);
    add_extent(world, 1, 0, 500, 1);
    add_extent(world, 1, 0, 10, 1);
    add_extent(world, 2, 0, 300, 1);
    world_start(world);
    assert_next(world, 0, 100, 3);
    assert_next(world, 0, 900, 2);
    assert_next(world, 1, 50, 1);
    assert_next(world, 0, 10, 1);
    assert_next(world, 0, 500, 1);
    assert_next(world, 0, 300, 1);
    assert_end(world);
    world_free(world);
}

static void a_phase_ends_where_it_would_become_too_large(void **state)
{
    World *world = world_new();

    add_extent(world, 0, 0, 2000, 2000);
    add_extent(world, 0, 0, 1000, 48);
    add_extent(world, 0, 0, 100, 1);
    world_start(world);
    assert_next(world, 0, 1000, 48);
    assert_next(world, 0, 2000, 2000);
    assert_next(world, 0, 100, 1);
    assert_end(world);
    world_free(world);
}

static void near_neighbours_of_one_phase_come_in_one_piece(void **state)
{
    World *world = world_new();

    add_extent(world, 0, 0, 119, 1);
    add_extent(world, 0, 0, 100, 2);
    add_extent(world, 0, 0, 110, 1); /* behind a gap of 8 */
    add_extent(world, 0, 0, 129, 1); /* behind a gap of 9 */
    add_extent(world, 1, 0, 130, 1);
    world_start(world);
    assert_next(world, 0, 100, 20);
    assert_next(world, 0, 129, 1);
    assert_next(world, 0, 130, 1);
    assert_end(world);
    world_free(world);
}

static void blocks_are_never_joined(void **state)
{
    World *world = world_new();

    add_extent(world, 0, 0, N_PAGES - 1, 1);
    add_extent(world, 0, 1, 0, 1);
    add_extent(world, 1, 0, 10, 1);
    add_extent(world, 1, 1, 12, 1);
    world_start(world);
    assert_next(world, 0, N_PAGES - 1, 1);
    assert_next(world, 1, 0, 1);
    assert_next(world, 0, 10, 1);
    assert_next(world, 1, 12, 1);
    assert_end(world);
    world_free(world);
}

static void a_page_counts_where_it_was_touched_first(void **state)
{
    World *world = world_new();

    add_extent(world, 0, 0, 100, 10);
    add_extent(world, 1, 0, 90, 30);
    world_start(world);
    assert_next(world, 0, 100, 10);
    assert_next(world, 0, 90, 10);
    assert_next(world, 0, 110, 10);
    assert_end(world);
    world_free(world);
}

static void a_large_span_is_given_in_pieces_of_the_size_asked_for(void **state)
{
    World *world = world_new();

    add_extent(world, 0, 0, 100, 10);
    add_extent(world, 0, 0, 200, 2);
    world_start(world);
    assert_next_of(world, 4, 0, 100, 4);
    assert_next_of(world, 1, 0, 104, 1);
    assert_next_of(world, 4, 0, 105, 4);
    assert_next_of(world, 4, 0, 109, 1);
    assert_next_of(world, 4, 0, 200, 2);
    assert_end(world);
    world_free(world);
}

/* ---- what is not there ---- */

static void blocks_that_are_not_there_are_left_out(void **state)
{
    World *world = world_new();
    uint32_t gone =
        page_order_add_block(world->order, "gone", 100 * 4096, 4096);

    add_extent(world, 0, gone, 0, 100);
    add_extent(world, 1, 1, 7, 1);
    world_start(world);
    assert_next(world, 1, 7, 1);
    assert_end(world);
    world_free(world);
}

static void pages_beyond_a_block_that_is_shorter_are_left_out(void **state)
{
    World *world = world_new();
    PageOrderBlock *block =
        &g_array_index(world->order->blocks, PageOrderBlock, 0);

    block->len_bytes *= 2;
    add_extent(world, 0, 0, N_PAGES, 5);
    add_extent(world, 1, 0, N_PAGES - 3, 10);
    world_start(world);
    assert_next(world, 0, N_PAGES - 3, 3);
    assert_end(world);
    world_free(world);
}

static void blocks_with_another_page_size_are_left_out(void **state)
{
    World *world = world_new();

    g_array_index(world->order->blocks, PageOrderBlock, 0).page_bytes = 8192;
    add_extent(world, 0, 0, 1, 5);
    add_extent(world, 1, 1, 7, 1);
    world_start(world);
    assert_next(world, 1, 7, 1);
    assert_end(world);
    world_free(world);
}

static void blocks_are_found_by_name_in_whatever_sequence(void **state)
{
    World *world = world_new();

    page_order_free(world->order);
    world->order = page_order_new();
    page_order_add_block(world->order, "block1", N_PAGES * 4096, 4096);
    page_order_add_block(world->order, "block0", N_PAGES * 4096, 4096);
    add_extent(world, 0, 0, 5, 1);
    add_extent(world, 0, 1, 6, 1);
    world_start(world);
    replay_steer(world->replay, 1, 5);
    assert_next(world, 0, 6, 1);
    assert_next(world, 1, 5, 1);
    assert_end(world);
    world_free(world);
}

/* ---- steering ---- */

/* Four phases of two spans each, at pages 1000 * phase and 500 on. */
static World *world_of_four_phases(void)
{
    World *world = world_new();

    for (unsigned phase = 0; phase < 4; phase++) {
        add_extent(world, phase, 0, 1000 * phase + 500, 2);
        add_extent(world, phase, 0, 1000 * phase, 2);
    }
    world_start(world);
    return world;
}

static void
steering_jumps_to_the_phase_and_comes_back_for_the_rest(void **state)
{
    World *world = world_of_four_phases();

    assert_next_of(world, 1, 0, 0, 1);
    assert_true(replay_steer(world->replay, 0, 2501));
    assert_next(world, 0, 2000, 2);
    assert_next(world, 0, 2500, 2);
    assert_next(world, 0, 3000, 2);
    assert_next(world, 0, 3500, 2);
    assert_next(world, 0, 0, 2);
    assert_next(world, 0, 500, 2);
    assert_next(world, 0, 1000, 2);
    assert_next(world, 0, 1500, 2);
    assert_end(world);
    world_free(world);
}

static void steering_to_the_present_phase_changes_nothing(void **state)
{
    World *world = world_of_four_phases();

    assert_next_of(world, 1, 0, 0, 1);
    replay_steer(world->replay, 0, 501);
    assert_next(world, 0, 1, 1);
    assert_next(world, 0, 500, 2);
    world_free(world);
}

static void steering_backwards_changes_nothing(void **state)
{
    World *world = world_of_four_phases();

    for (unsigned i = 0; i < 3; i++) {
        assert_next(world, 0, i * 500, 2);
    }
    assert_next_of(world, 1, 0, 1500, 1);
    replay_steer(world->replay, 0, 0);
    replay_steer(world->replay, 0, 1000);
    assert_next(world, 0, 1501, 1);
    assert_next(world, 0, 2000, 2);
    world_free(world);
}

static void
steering_to_a_page_that_is_not_in_the_order_changes_nothing(void **state)
{
    World *world = world_of_four_phases();

    replay_steer(world->replay, 0, 2);
    replay_steer(world->replay, 0, 3502);
    replay_steer(world->replay, 1, 3000);
    assert_false(replay_steer(world->replay, 7, UINT64_MAX));
    for (unsigned i = 0; i < 8; i++) {
        assert_next(world, 0, i * 500, 2);
    }
    assert_end(world);
    world_free(world);
}

static void steering_at_the_end_changes_nothing(void **state)
{
    World *world = world_of_four_phases();

    for (unsigned i = 0; i < 8; i++) {
        assert_next(world, 0, i * 500, 2);
    }
    replay_steer(world->replay, 0, 3000);
    assert_end(world);
    world_free(world);
}

/* Pages of several phases lie between each other, and pieces of one phase
 * reach over pages of another. */
static void steering_finds_the_phase_among_pages_of_other_phases(void **state)
{
    World *world = world_new();

    add_extent(world, 0, 0, 3000, 1);
    add_extent(world, 1, 0, 104, 1);
    add_extent(world, 2, 0, 100, 1);
    add_extent(world, 2, 0, 108, 1);
    add_extent(world, 3, 0, 106, 1);
    world_start(world);
    replay_steer(world->replay, 0, 104);
    assert_next(world, 0, 104, 1);
    replay_steer(world->replay, 0, 106);
    assert_next(world, 0, 106, 1);
    assert_next(world, 0, 3000, 1);
    replay_steer(world->replay, 0, 108);
    assert_next(world, 0, 100, 9);
    world_free(world);
}

static void a_page_of_a_very_late_phase_steers_nothing(void **state)
{
    World *world = world_new_sized(20000);

    for (unsigned phase = 0; phase < 5000; phase++) {
        add_extent(world, phase, 0, phase * UINT64_C(3), 1);
    }
    world_start(world);
    assert_false(replay_steer(world->replay, 0, 4095 * 3));
    assert_next(world, 0, 0, 1);
    assert_true(replay_steer(world->replay, 0, 4094 * 3));
    for (uint64_t phase = 4094; phase < 5000; phase++) {
        assert_next(world, 0, phase * 3, 1);
    }
    assert_next(world, 0, 3, 1);
    world_free(world);
}

static void add_random_extents(World *world, GRand *random, uint8_t *expected)
{
    for (unsigned i = 0; i < 200; i++) {
        uint32_t block = (uint32_t)g_rand_int_range(random, 0, N_BLOCKS);
        uint64_t first = (uint64_t)g_rand_int_range(random, 0, N_PAGES - 30);
        uint64_t n = (uint64_t)g_rand_int_range(random, 1, 30);

        add_extent(world, i / 10, block, first, n);
        memset(expected + block * N_PAGES + first, 1, n);
    }
}

/* Replay to the end; now and then the guest touches some page, but no more
 * than 1000 times. */
static void replay_all(World *world, GRand *random, uint8_t *expected)
{
    PageSpan span;

    for (unsigned i = 0; replay_next(
             world->replay, (uint64_t)g_rand_int_range(random, 1, 20), &span);
         i++) {
        assert_in_range(span.block, 0, N_BLOCKS - 1);
        assert_in_range(span.n_pages, 1, 19);
        assert_in_range(span.first_page, 0, N_PAGES - span.n_pages);
        memset(expected + span.block * N_PAGES + span.first_page, 0,
               span.n_pages);
        if (i % 3 == 0 && i < 3000) {
            replay_steer(world->replay,
                         (size_t)g_rand_int_range(random, 0, N_BLOCKS),
                         (uint64_t)g_rand_int_range(random, 0, N_PAGES));
        }
    }
}

static void every_page_is_given_whatever_the_guest_touches(void **state)
{
    for (uint32_t seed = 0; seed < 50; seed++) {
        g_autofree uint8_t *expected = g_new0(uint8_t, N_BLOCKS * N_PAGES);
        GRand *random = g_rand_new_with_seed(seed);
        World *world = world_new();

        add_random_extents(world, random, expected);
        world_start(world);
        replay_all(world, random, expected);
        for (size_t i = 0; i < N_BLOCKS * N_PAGES; i++) {
            if (expected[i] != 0) {
                fail_msg("seed %" PRIu32 ": page %zu is not given", seed, i);
            }
        }
        g_rand_free(random);
        world_free(world);
    }
}

/* ---- pages that are not to be read ---- */

static void pages_that_are_not_to_be_read_are_left_out(void **state)
{
    g_autofree uint64_t *bitmap = g_new0(uint64_t, N_PAGES / 64 + 1);
    World *world = world_new();

    set_bit(bitmap, 2000);
    set_bit(bitmap, 2100);
    set_bit(bitmap, 2600);
    world->blocks[0].bitmap = bitmap;
    add_extent(world, 0, 0, 0, 1000);
    add_extent(world, 1, 0, 1500, 1500);
    add_extent(world, 2, 1, 10, 5);
    world_start(world);
    /* A hole that is smaller than a piece stays. */
    assert_next(world, 0, 2000, 101);
    assert_next(world, 0, 2600, 1);
    assert_next(world, 1, 10, 5);
    assert_end(world);
    world_free(world);
}

static void a_page_that_is_not_to_be_read_still_tells_the_phase(void **state)
{
    g_autofree uint64_t *bitmap = g_new0(uint64_t, N_PAGES / 64 + 1);
    World *world = world_new();

    set_bit(bitmap, 100);
    set_bit(bitmap, 2000);
    world->blocks[0].bitmap = bitmap;
    add_extent(world, 0, 0, 100, 1);
    add_extent(world, 1, 0, 1000, 1);
    add_extent(world, 2, 0, 2000, 1);
    world_start(world);
    assert_true(replay_steer(world->replay, 0, 1000));
    assert_next(world, 0, 2000, 1);
    assert_next(world, 0, 100, 1);
    assert_end(world);
    world_free(world);
}

static void
an_order_of_many_pages_that_are_not_to_be_read_gives_next_to_none(void **state)
{
    const uint64_t n_pages = UINT64_C(1) << 24;
    g_autofree uint64_t *bitmap = g_new0(uint64_t, n_pages / 64);
    World *world = world_new_sized(n_pages);

    set_bit(bitmap, n_pages - 1);
    world->blocks[0].bitmap = bitmap;
    for (unsigned i = 0; i < 100000; i++) {
        add_extent(world, i % 7, 0, i * UINT64_C(160), 100);
    }
    add_extent(world, 7, 0, n_pages - 50, 50);
    world_start(world);
    assert_next(world, 0, n_pages - 1, 1);
    assert_end(world);
    world_free(world);
}

static void the_pages_of_the_order_are_marked(void **state)
{
    g_autofree uint64_t *bitmap = g_new0(uint64_t, N_PAGES / 64 + 1);
    World *world = world_new();

    add_extent(world, 0, 1, 60, 140);
    add_extent(world, 1, 0, 0, 500);
    add_extent(world, 1, 1, 300, 1);
    world_start(world);
    replay_mark_pages(world->replay, 1, bitmap);
    for (uint64_t page = 0; page < N_PAGES; page++) {
        bool expected = (page >= 60 && page < 200) || page == 300;

        assert_int_equal((bitmap[page / 64] >> (page % 64)) & 1, expected);
    }
    world_free(world);
}

/* A million extents of up to 4 GiB each, all over each other: what is given
 * grows with their number and not with their size. */
static void an_order_of_huge_overlapping_extents_is_not_multiplied(void **state)
{
    const uint64_t n_pages = UINT64_C(1) << 20;
    const unsigned n_extents = 1000000;
    GRand *random = g_rand_new_with_seed(3);
    World *world = world_new_sized(n_pages);
    uint64_t n_given_pages = 0;
    unsigned n_spans = 0;
    PageSpan span;

    for (unsigned i = 0; i < n_extents; i++) {
        uint64_t first = (uint64_t)g_rand_int_range(random, 0, 1 << 19);

        add_extent(world, i % 7, 0, first, n_pages - first);
    }
    world_start(world);
    while (replay_next(world->replay, ALL_PAGES, &span)) {
        n_spans++;
        n_given_pages += span.n_pages;
    }
    assert_in_range(n_spans, 1, 2 * n_extents);
    assert_in_range(n_given_pages, 1, n_pages + 8 * (uint64_t)n_spans);
    g_rand_free(random);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_order_gives_nothing),
        cmocka_unit_test(a_replay_that_is_rewound_gives_all_again),
        cmocka_unit_test(phases_come_in_sequence_and_each_in_file_order),
        cmocka_unit_test(a_phase_ends_where_it_would_become_too_large),
        cmocka_unit_test(near_neighbours_of_one_phase_come_in_one_piece),
        cmocka_unit_test(blocks_are_never_joined),
        cmocka_unit_test(a_page_counts_where_it_was_touched_first),
        cmocka_unit_test(a_large_span_is_given_in_pieces_of_the_size_asked_for),
        cmocka_unit_test(blocks_that_are_not_there_are_left_out),
        cmocka_unit_test(pages_beyond_a_block_that_is_shorter_are_left_out),
        cmocka_unit_test(blocks_with_another_page_size_are_left_out),
        cmocka_unit_test(blocks_are_found_by_name_in_whatever_sequence),
        cmocka_unit_test(
            steering_jumps_to_the_phase_and_comes_back_for_the_rest),
        cmocka_unit_test(steering_to_the_present_phase_changes_nothing),
        cmocka_unit_test(steering_backwards_changes_nothing),
        cmocka_unit_test(
            steering_to_a_page_that_is_not_in_the_order_changes_nothing),
        cmocka_unit_test(steering_at_the_end_changes_nothing),
        cmocka_unit_test(steering_finds_the_phase_among_pages_of_other_phases),
        cmocka_unit_test(a_page_of_a_very_late_phase_steers_nothing),
        cmocka_unit_test(pages_that_are_not_to_be_read_are_left_out),
        cmocka_unit_test(a_page_that_is_not_to_be_read_still_tells_the_phase),
        cmocka_unit_test(
            an_order_of_many_pages_that_are_not_to_be_read_gives_next_to_none),
        cmocka_unit_test(the_pages_of_the_order_are_marked),
        cmocka_unit_test(every_page_is_given_whatever_the_guest_touches),
        cmocka_unit_test(
            an_order_of_huge_overlapping_extents_is_not_multiplied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
