/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is registered, and how many mappings that may cost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin/pager/registration.h"

#define MIB        (UINT64_C(1) << 20)
#define PAGE_BYTES 4096
#define CHUNK      (2 * MIB / PAGE_BYTES) /* in pages */
#define HOST       (UINT64_C(1) << 40)

#define DEFAULT_MAX 65530

/* A block at the address with every n-th chunk in the file, by its first
 * page; 0: none. */
static RamPages block_new(uint64_t host, uint64_t len_bytes, uint64_t every)
{
    uint64_t n_pages = len_bytes / PAGE_BYTES;
    uint64_t *bitmap = g_new0(uint64_t, n_pages / 64 + 1);

    for (uint64_t page = 0; every > 0 && page < n_pages;
         page += every * CHUNK) {
        bitmap[page / 64] |= UINT64_C(1) << (page % 64);
    }
    return (RamPages){host, PAGE_BYTES, n_pages, bitmap};
}

static void blocks_free(RamPages *blocks, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks; i++) {
        g_free((void *)blocks[i].in_file);
    }
}

static bool is_in_hole(const GArray *holes, uint64_t address)
{
    for (guint i = 0; i < holes->len; i++) {
        const RegistrationHole *hole =
            &g_array_index(holes, RegistrationHole, i);

        if (address - hole->start < hole->len_bytes) {
            return true;
        }
    }
    return false;
}

/* The borders that the holes make within the block, counted page by page;
 * no page of the file is in a hole. */
static uint64_t count_borders(const RamPages *block, const GArray *holes)
{
    uint64_t n_borders = 0;
    bool last = false;

    for (uint64_t page = 0; page < block->n_pages; page++) {
        bool in_hole = is_in_hole(holes, block->host + page * PAGE_BYTES);

        n_borders += page > 0 && in_hole != last;
        last = in_hole;
        if ((block->in_file[page / 64] >> (page % 64)) & 1) {
            assert_false(in_hole);
        }
    }
    return n_borders;
}

/* ---- the budget ---- */

static void a_quarter_of_the_mappings_is_left_to_qemu(void **state)
{
    /* So many that the budget is what counts, not what is worth it. */
    assert_int_equal(registration_budget(DEFAULT_MAX, 49000, 1),
                     DEFAULT_MAX - DEFAULT_MAX / 4 - 49000 - 2);
    assert_int_equal(registration_budget(DEFAULT_MAX, 49100, 100), 0);
    assert_int_equal(registration_budget(DEFAULT_MAX, 70000, 1), 0);
}

static void
where_a_process_may_have_few_mappings_some_thousands_are_left(void **state)
{
    assert_int_equal(registration_budget(6000, 1000, 2),
                     6000 - 4096 - 1000 - 4);
    assert_int_equal(registration_budget(4000, 100, 1), 0);
}

static void an_ordinary_process_gets_as_many_as_are_worth_it(void **state)
{
    assert_int_equal(registration_budget(DEFAULT_MAX, 500, 1), 1024);
    assert_int_equal(registration_budget(DEFAULT_MAX, 500, 32), 1024);
    assert_int_equal(registration_budget(UINT64_MAX / 2, 500, 1), 1024);
}

static void the_budget_here_knows_this_process(void **state)
{
    assert_in_range(registration_budget_here(1), 1, 1024);
}

/* ---- the plan ---- */

static void stretches_without_pages_of_the_file_are_left_out(void **state)
{
    RamPages block = block_new(HOST, 64 * MIB, 4);
    g_autoptr(GArray) holes = registration_plan(&block, 1, 1000);

    assert_int_equal(holes->len, 8);
    for (guint i = 0; i < holes->len; i++) {
        const RegistrationHole *hole =
            &g_array_index(holes, RegistrationHole, i);

        assert_int_equal(hole->start, HOST + (i * 8 + 2) * MIB);
        assert_int_equal(hole->len_bytes, 6 * MIB);
    }
    assert_int_equal(count_borders(&block, holes), 15);
    blocks_free(&block, 1);
}

static void
a_block_without_pages_is_one_hole_and_a_full_one_has_none(void **state)
{
    RamPages blocks[] = {
        block_new(HOST, 32 * MIB, 0),
        block_new(2 * HOST, 32 * MIB, 1),
    };
    g_autoptr(GArray) holes = registration_plan(blocks, 2, 0);

    assert_int_equal(holes->len, 1);
    assert_int_equal(g_array_index(holes, RegistrationHole, 0).start, HOST);
    assert_int_equal(g_array_index(holes, RegistrationHole, 0).len_bytes,
                     32 * MIB);
    blocks_free(blocks, 2);
}

static void a_block_need_not_end_on_a_chunks_border(void **state)
{
    RamPages block = block_new(HOST, 5 * MIB + PAGE_BYTES, 0);
    uint64_t *bitmap = (uint64_t *)block.in_file;
    uint64_t last = block.n_pages - 1;

    bitmap[last / 64] |= UINT64_C(1) << (last % 64);
    g_autoptr(GArray) holes = registration_plan(&block, 1, 1);
    assert_int_equal(holes->len, 1);
    assert_int_equal(g_array_index(holes, RegistrationHole, 0).len_bytes,
                     4 * MIB);
    blocks_free(&block, 1);
}

/* A block with one chunk in eight in the file, as it comes. */
static RamPages block_scattered(uint64_t host, uint64_t len_bytes)
{
    RamPages block = block_new(host, len_bytes, 0);
    uint64_t *bitmap = (uint64_t *)block.in_file;
    GRand *draw = g_rand_new_with_seed((guint32)(host >> 40));

    for (uint64_t page = 0; page < block.n_pages; page += CHUNK) {
        if (g_rand_int_range(draw, 0, 8) == 0) {
            bitmap[page / 64] |= UINT64_C(1) << (page % 64);
        }
    }
    g_rand_free(draw);
    return block;
}

/* 32 blocks of 8 GiB: with a budget for each block they had 64,000. */
static void many_fragmented_blocks_share_one_budget(void **state)
{
    RamPages blocks[32];
    uint64_t n_borders = 0;
    uint64_t len_bytes = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(blocks); i++) {
        blocks[i] = block_scattered(HOST * (i + 1), 8192 * MIB);
    }
    g_autoptr(GArray) holes =
        registration_plan(blocks, G_N_ELEMENTS(blocks),
                          registration_budget(DEFAULT_MAX, 1000, 32));
    for (guint i = 0; i < holes->len; i++) {
        const RegistrationHole *hole =
            &g_array_index(holes, RegistrationHole, i);

        n_borders += hole->n_borders;
        len_bytes += hole->len_bytes;
    }
    assert_in_range(n_borders, 1018, 1024);
    /* The largest: far more than that many drawn by lot would be. */
    assert_in_range(len_bytes, 3 * (8192 * MIB), 32 * (8192 * MIB));
    blocks_free(blocks, G_N_ELEMENTS(blocks));
}

static void the_budget_goes_to_the_largest_holes(void **state)
{
    RamPages blocks[] = {
        block_new(HOST, 256 * MIB, 8),
        block_new(2 * HOST, 512 * MIB, 32),
    };

    for (uint64_t budget = 0; budget < 50; budget++) {
        g_autoptr(GArray) holes = registration_plan(blocks, 2, budget);
        uint64_t n_large = count_borders(&blocks[1], holes);
        uint64_t n_small = count_borders(&blocks[0], holes);

        assert_in_range(n_large + n_small + 1, MIN(budget, 15 + 31),
                        budget + 1);
        assert_true(n_small <= 1 || n_large == 15);
    }
    blocks_free(blocks, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quarter_of_the_mappings_is_left_to_qemu),
        cmocka_unit_test(
            where_a_process_may_have_few_mappings_some_thousands_are_left),
        cmocka_unit_test(an_ordinary_process_gets_as_many_as_are_worth_it),
        cmocka_unit_test(the_budget_here_knows_this_process),
        cmocka_unit_test(stretches_without_pages_of_the_file_are_left_out),
        cmocka_unit_test(
            a_block_without_pages_is_one_hole_and_a_full_one_has_none),
        cmocka_unit_test(a_block_need_not_end_on_a_chunks_border),
        cmocka_unit_test(many_fragmented_blocks_share_one_budget),
        cmocka_unit_test(the_budget_goes_to_the_largest_holes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
