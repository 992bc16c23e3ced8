/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether a pack is used, and in which sequence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin/pager/pack-plan.h"

#define N_CHUNKS    5
#define CHUNK_PAGES 4

/* Chunk i has the pages from 4 * i on of block 0. */
static Pack *new_pack(void)
{
    Pack *pack = g_new0(Pack, 1);

    pack->chunks = g_array_new(FALSE, FALSE, sizeof(PackChunk));
    pack->spans = g_array_new(FALSE, FALSE, sizeof(PageSpan));
    for (size_t i = 0; i < N_CHUNKS; i++) {
        const PageSpan span = {0, CHUNK_PAGES * i, CHUNK_PAGES};
        const PackChunk chunk = {.first_span = i, .n_spans = 1};

        g_array_append_val(pack->spans, span);
        g_array_append_val(pack->chunks, chunk);
    }
    return pack;
}

/* What the plan gives, one digit a chunk; ends with the last. */
static char *all_given(PackPlan *plan)
{
    GString *digits = g_string_new(NULL);
    size_t chunk;

    while (pack_plan_next(plan, &chunk)) {
        g_string_append_printf(digits, "%zu", chunk);
    }
    return g_string_free(digits, FALSE);
}

static void assert_gives(PackPlan *plan, const char *expected)
{
    g_autofree char *given = all_given(plan);

    assert_string_equal(given, expected);
}

static void one_chunk_is_tried_at_first(void **state)
{
    g_autoptr(Pack) pack = new_pack();
    PackPlan plan;

    (void)state;
    pack_plan_init(&plan, pack, false);
    assert_gives(&plan, "0");
    pack_plan_note_chunk(&plan, 1000, 10);
    assert_gives(&plan, "");
    assert_int_equal(plan.state, PACK_ON_TRIAL);
    pack_plan_clear(&plan);
}

static void a_faster_pack_is_used_to_its_end(void **state)
{
    g_autoptr(Pack) pack = new_pack();
    PackPlan plan;

    (void)state;
    pack_plan_init(&plan, pack, false);
    assert_gives(&plan, "0");
    pack_plan_note_snapshot(&plan, 600, 60);
    pack_plan_note_chunk(&plan, 1000, 100);
    assert_int_equal(plan.state, PACK_ON_TRIAL);
    pack_plan_note_snapshot(&plan, 600, 100);
    assert_int_equal(plan.state, PACK_IN_USE);
    assert_gives(&plan, "1234");
    pack_plan_clear(&plan);
}

static void a_snapshot_that_takes_longer_for_less_has_lost(void **state)
{
    g_autoptr(Pack) pack = new_pack();
    PackPlan plan;

    (void)state;
    pack_plan_init(&plan, pack, false);
    assert_gives(&plan, "0");
    pack_plan_note_chunk(&plan, 1000, 100);
    pack_plan_note_snapshot(&plan, 10, 100);
    assert_int_equal(plan.state, PACK_ON_TRIAL);
    pack_plan_note_snapshot(&plan, 10, 1);
    assert_int_equal(plan.state, PACK_IN_USE);
    pack_plan_clear(&plan);
}

static void a_slower_pack_is_left(void **state)
{
    g_autoptr(Pack) pack = new_pack();
    PackPlan plan;

    (void)state;
    pack_plan_init(&plan, pack, false);
    assert_gives(&plan, "0");
    pack_plan_note_snapshot(&plan, 4000, 10);
    pack_plan_note_chunk(&plan, 1000, 10);
    assert_int_equal(plan.state, PACK_LEFT);
    assert_gives(&plan, "");
    pack_plan_clear(&plan);
}

static void a_chunk_that_nobody_needs_is_no_trial(void **state)
{
    g_autoptr(Pack) pack = new_pack();
    PackPlan plan;

    (void)state;
    pack_plan_init(&plan, pack, false);
    assert_gives(&plan, "0");
    pack_plan_note_chunk(&plan, 0, 0);
    assert_gives(&plan, "1");
    pack_plan_clear(&plan);
}

static void a_pack_can_be_used_without_trial(void **state)
{
    g_autoptr(Pack) pack = new_pack();
    PackPlan plan;

    (void)state;
    pack_plan_init(&plan, pack, true);
    pack_plan_note_snapshot(&plan, 4000, 10);
    assert_gives(&plan, "01234");
    pack_plan_clear(&plan);
}

static void a_damaged_pack_is_left_once(void **state)
{
    g_autoptr(Pack) pack = new_pack();
    PackPlan plan;

    (void)state;
    pack_plan_init(&plan, pack, true);
    assert_true(pack_plan_leave(&plan));
    assert_false(pack_plan_leave(&plan));
    assert_gives(&plan, "");
    pack_plan_note_chunk(&plan, 1000, 1);
    pack_plan_note_snapshot(&plan, 1000, 1000);
    assert_gives(&plan, "");
    pack_plan_clear(&plan);
}

static void a_guest_that_is_ahead_is_followed(void **state)
{
    g_autoptr(Pack) pack = new_pack();
    PackPlan plan;
    size_t chunk;

    (void)state;
    pack_plan_init(&plan, pack, true);
    assert_true(pack_plan_next(&plan, &chunk));
    pack_plan_steer(&plan, 0, 3 * CHUNK_PAGES + 1);
    pack_plan_steer(&plan, 1, 4 * CHUNK_PAGES); /* another block's */
    pack_plan_steer(&plan, 0, 0);               /* that has been given */
    assert_gives(&plan, "3412");
    pack_plan_clear(&plan);
}

static void without_a_pack_there_is_nothing(void **state)
{
    PackPlan plan;

    (void)state;
    pack_plan_init(&plan, NULL, true);
    pack_plan_steer(&plan, 0, 1);
    pack_plan_note_snapshot(&plan, 1000, 10);
    assert_gives(&plan, "");
    assert_int_equal(plan.state, PACK_NONE);
    pack_plan_clear(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_chunk_is_tried_at_first),
        cmocka_unit_test(a_faster_pack_is_used_to_its_end),
        cmocka_unit_test(a_snapshot_that_takes_longer_for_less_has_lost),
        cmocka_unit_test(a_slower_pack_is_left),
        cmocka_unit_test(a_chunk_that_nobody_needs_is_no_trial),
        cmocka_unit_test(a_pack_can_be_used_without_trial),
        cmocka_unit_test(a_damaged_pack_is_left_once),
        cmocka_unit_test(a_guest_that_is_ahead_is_followed),
        cmocka_unit_test(without_a_pack_there_is_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
