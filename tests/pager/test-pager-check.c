/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is not to be done to memory that the pager has, or is to have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/pager/pager-world.h"

static void memory_that_was_left_alone_passes_the_check(void **state)
{
    World *world = world_new(ram_kind_of(state), 5);
    g_autoptr(GError) error = NULL;

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    assert_true(pager_check_untouched(world->pager, &error));
    assert_int_equal(fake_source_n_reads(world->source), 0);
    for (uint64_t page = 0; page < WORLD_N_PAGES; page += 3) {
        assert_true(world_page_is_right(world, 0, page));
    }
    size_t n_reads = fake_source_n_reads(world->source);
    json_int_t n_faults = world_stat(world, NULL, "demand-faults");
    /* A page that the guest writes to is not zero. */
    memset(world_page(world, 0, 0), 0x11, FAKE_PAGE_BYTES);
    assert_true(pager_check_untouched(world->pager, &error));
    /* Nothing was loaded for it. */
    assert_int_equal(fake_source_n_reads(world->source), n_reads);
    assert_int_equal(world_stat(world, NULL, "demand-faults"), n_faults);
    world_free(world);
}

static void memory_that_was_filled_with_zeroes_does_not(void **state)
{
    World *world = world_new(ram_kind_of(state), 5);
    g_autoptr(GError) error = NULL;

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    memset(world->memory[1], 0, WORLD_N_PAGES * FAKE_PAGE_BYTES);
    assert_false(pager_check_untouched(world->pager, &error));
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_RAM));
    assert_non_null(strstr(error->message, "block1"));
    assert_non_null(strstr(error->message, "--policy full"));
    world_free(world);
}

static void memory_can_be_attached_only_once(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(GError) error = NULL;

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    assert_false(pager_attach(world->pager, NULL, 0, NULL, 0, &error));
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_STATE));
    world_free(world);
}

static void a_range_of_another_length_is_refused_and_untouched(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(GError) error = NULL;
    const PagerRange range = {"block0", (uintptr_t)world->memory[0],
                              FAKE_PAGE_BYTES};

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    assert_false(pager_attach(world->pager, &range, 1, NULL, 0, &error));
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_SNAPSHOT));
    assert_int_equal(world->memory[0][17], 0x55);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(memory_that_was_left_alone_passes_the_check),
        FOR_BOTH_KINDS(memory_that_was_filled_with_zeroes_does_not),
        FOR_BOTH_KINDS(memory_can_be_attached_only_once),
        FOR_BOTH_KINDS(a_range_of_another_length_is_refused_and_untouched),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
