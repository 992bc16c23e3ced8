/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory that is given back while it is being loaded.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "plugin/pager/pager-removal.h"
#include "tests/pager/pager-world.h"

static void give_back(const World *world, size_t block, uint64_t page,
                      uint64_t n_pages)
{
    assert_int_equal(ram_range_discard(
                         world->kind, (uintptr_t)world_page(world, block, page),
                         n_pages * FAKE_PAGE_BYTES),
                     0);
}

static json_int_t pages(const World *world, const char *name)
{
    json_t *stats = load_stats_to_json(world->stats, LOAD_POLICY_DEMAND,
                                       LOAD_STATE_LOADING);
    json_int_t value = json_integer_value(
        json_object_get(json_object_get(stats, "pages"), name));

    json_decref(stats);
    return value;
}

/* Whoever gives back goes on before it has been dealt with.  n_pages are those
 * of whole calls of give_back(); one of them is (block, page). */
static void await_given_back(const World *world, json_int_t n_pages,
                             size_t block, uint64_t page)
{
    for (unsigned i = 0; pages(world, "given-back") < n_pages; i++) {
        if (i == 100000) {
            fail_msg("%d pages are given back",
                     (int)pages(world, "given-back"));
        }
        give_back(world, block, page, 1);
    }
}

static size_t count_resident(const World *world, size_t block, uint64_t page,
                             uint64_t n_pages)
{
    g_autofree unsigned char *resident = g_malloc(n_pages);
    size_t n = 0;

    assert_int_equal(mincore(world_page(world, block, page),
                             n_pages * FAKE_PAGE_BYTES, resident),
                     0);
    for (uint64_t i = 0; i < n_pages; i++) {
        n += resident[i] & 1;
    }
    return n;
}

static void finish(World *world)
{
    world_await(world, LOAD_GOAL_ALL);
    pager_release(world->pager);
}

static World *loading_world(RamKind kind, LoadPolicy policy)
{
    World *world = world_new(kind, 8);

    world_start(world, policy, NULL);
    world_attach(world);
    pager_heed_removals(world->pager);
    return world;
}

/* ---- each test runs for anonymous and for shared memory ---- */

static void what_was_given_back_before_it_was_loaded_is_zero(void **state)
{
    World *world = loading_world(ram_kind_of(state), LOAD_POLICY_DEMAND);

    give_back(world, 0, 100, 700);
    await_given_back(world, 700, 0, 100);
    for (uint64_t page = 100; page < 800; page++) {
        assert_true(fake_page_is_zero(world_page(world, 0, page)));
    }
    assert_true(world_page_is_right(world, 0, 99));
    assert_true(world_page_is_right(world, 0, 800));
    assert_int_equal(fake_source_n_reads(world->source), 2);
    world_free(world);
}

static void what_was_given_back_is_not_resident_after_the_load(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    pager_heed_removals(world->pager);
    /* The eager threads are stuck in their first reads, of pages from 0 on. */
    fake_source_await_waiting(world->source);
    give_back(world, 0, 0, 2000);
    give_back(world, 1, 1000, 1000);
    await_given_back(world, 3000, 1, 1000);
    fake_source_open(world->source);
    finish(world);
    assert_int_equal(count_resident(world, 0, 0, 2000), 0);
    assert_int_equal(count_resident(world, 1, 1000, 1000), 0);
    assert_int_equal(count_resident(world, 0, 2000, 2096), 2096);
    assert_int_equal(pages(world, "given-back"), 3000);
    assert_int_equal(pages(world, "by-rest"), 2 * WORLD_N_PAGES - 3000);
    assert_true(fake_page_is_zero(world_page(world, 0, 1)));
    assert_true(world_page_is_right(world, 0, 2000));
    world_free(world);
}

static void what_qemu_discards_before_the_guest_runs_is_loaded(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    give_back(world, 0, 0, WORLD_N_PAGES);
    for (uint64_t page = 0; page < 100; page++) {
        assert_true(world_page_is_right(world, 0, page));
    }
    assert_int_equal(pages(world, "given-back"), 0);
    world_free(world);
}

static void giving_back_the_last_pages_ends_the_load(void **state)
{
    World *world = loading_world(ram_kind_of(state), LOAD_POLICY_DEMAND);

    assert_true(world_page_is_right(world, 0, 5));
    give_back(world, 1, 0, WORLD_N_PAGES);
    give_back(world, 0, 0, WORLD_N_PAGES);
    finish(world);
    assert_int_equal(pages(world, "given-back"), 2 * WORLD_N_PAGES - 1);
    assert_true(fake_page_is_zero(world_page(world, 0, 5)));
    world_free(world);
}

/* Also while nobody who serves faults comes to reading anything else. */
static void memory_can_be_given_back_while_pages_cannot_be_read(void **state)
{
    World *world = loading_world(ram_kind_of(state), LOAD_POLICY_DEMAND);
    PageToucher touchers[4];

    fake_source_break(world->source, 0, 123);
    for (size_t i = 0; i < G_N_ELEMENTS(touchers); i++) {
        world_begin_touch(world, &touchers[i], 0, 123);
    }
    world_await_failures(world, 1);
    give_back(world, 0, 500, 10);
    give_back(world, 1, 0, WORLD_N_PAGES);
    await_given_back(world, WORLD_N_PAGES + 10, 1, 0);
    fake_source_mend(world->source);
    pager_retry(world->pager);
    for (size_t i = 0; i < G_N_ELEMENTS(touchers); i++) {
        assert_true(world_end_touch(&touchers[i]));
    }
    pager_load_rest(world->pager);
    finish(world);
    assert_int_equal(pages(world, "given-back"), WORLD_N_PAGES + 10);
    world_free(world);
}

static void a_bad_page_that_is_given_back_is_missed_by_nobody(void **state)
{
    World *world = loading_world(ram_kind_of(state), LOAD_POLICY_DEMAND);

    fake_source_break(world->source, 0, 123);
    pager_load_rest(world->pager);
    world_await_failures(world, 1);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_FAILED);
    give_back(world, 0, 100, 50);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(pager_state(world->pager), LOAD_STATE_LOADED);
    assert_int_equal(world_stat(world, NULL, "failed-pages"), 0);
    assert_true(fake_page_is_zero(world_page(world, 0, 123)));
    world_free(world);
}

static void a_removal_beyond_a_block_takes_the_block_alone(void **state)
{
    World *world = loading_world(ram_kind_of(state), LOAD_POLICY_DEMAND);
    uint64_t host = (uintptr_t)world->memory[0];
    const UffdRemoval removals[] = {
        {host - FAKE_PAGE_BYTES, host + FAKE_PAGE_BYTES},
        {host + (WORLD_N_PAGES - 1) * FAKE_PAGE_BYTES,
         host + (WORLD_N_PAGES + 1) * FAKE_PAGE_BYTES},
        {host + 3, host + 2 * FAKE_PAGE_BYTES - 1},
        {1 * FAKE_PAGE_BYTES, 2 * FAKE_PAGE_BYTES},
    };

    /* The memory next to it may be the other block's. */
    give_back(world, 1, 0, WORLD_N_PAGES);
    await_given_back(world, WORLD_N_PAGES, 1, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(removals); i++) {
        pager_handle_removal(world->pager, &removals[i]);
    }
    assert_int_equal(pages(world, "given-back"), WORLD_N_PAGES + 2);
    world_free(world);
}

static void memory_that_is_unmapped_does_not_hold_up_the_load(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    pager_heed_removals(world->pager);
    fake_source_await_waiting(world->source);
    /* From within a piece to the block's end. */
    assert_int_equal(munmap(world_page(world, 0, 100),
                            (WORLD_N_PAGES - 100) * FAKE_PAGE_BYTES),
                     0);
    fake_source_open(world->source);
    finish(world);
    for (uint64_t page = 0; page < 100; page++) {
        assert_true(world_page_is_right(world, 0, page));
    }
    for (uint64_t page = 0; page < WORLD_N_PAGES; page++) {
        assert_true(world_page_is_right(world, 1, page));
    }
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(what_was_given_back_before_it_was_loaded_is_zero),
        FOR_BOTH_KINDS(what_was_given_back_is_not_resident_after_the_load),
        FOR_BOTH_KINDS(what_qemu_discards_before_the_guest_runs_is_loaded),
        FOR_BOTH_KINDS(giving_back_the_last_pages_ends_the_load),
        FOR_BOTH_KINDS(memory_can_be_given_back_while_pages_cannot_be_read),
        FOR_BOTH_KINDS(a_bad_page_that_is_given_back_is_missed_by_nobody),
        FOR_BOTH_KINDS(a_removal_beyond_a_block_takes_the_block_alone),
        FOR_BOTH_KINDS(memory_that_is_unmapped_does_not_hold_up_the_load),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
