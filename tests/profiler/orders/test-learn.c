/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/learn.h"

#include "profiler/orders/error.h"
#include "profiler/orders/normalise.h"
#include "tests/profiler/orders/orders.h"

static PageOrder *learn(const PageOrder *old, const LoadLesson *lesson)
{
    GError *error = NULL;
    PageOrder *learned = order_learn(old, lesson, &error);

    assert_null(error);
    return learned;
}

static LoadLesson lesson_of(const PageOrder *missed)
{
    return (LoadLesson){
        .missed = missed,
        .max_idle_loads = 3,
        .max_bytes = UINT64_MAX,
    };
}

static PageExtent *extent_of(PageOrder *order, guint i)
{
    return &g_array_index(order->extents, PageExtent, i);
}

static void a_load_without_misses_changes_no_page(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(60);
    g_autoptr(PageOrder) missed = empty_order();

    for (guint round = 0; round < 100; round++) {
        g_autoptr(PageOrder) old = random_order(rand, 60, FALSE);
        g_autoptr(PageOrder) normal = order_normalise(old);
        LoadLesson lesson = lesson_of(missed);
        g_autoptr(PageOrder) learned = learn(old, &lesson);

        assert_extents(learned, normal);
        assert_int_equal(learned->n_runs, 2);
        assert_int_equal(learned->origin, PAGE_ORDER_ORIGIN_LEARNED);
    }
}

static void missed_pages_come_in_where_their_time_puts_them(void **state)
{
    g_autoptr(PageOrder) old = ORDER_OF({RAM, 10, 1, 1000}, {RAM, 20, 1, 5000});
    g_autoptr(PageOrder) missed =
        ORDER_OF({VRAM, 3, 1, 9000}, {RAM, 30, 1, 3000, .idle_loads = 2});
    LoadLesson lesson = lesson_of(missed);
    g_autoptr(PageOrder) learned = learn(old, &lesson);

    assert_int_equal(extent_of(learned, 1)->idle_loads, 0);
    ASSERT_EXTENTS(learned, {RAM, 10, 1, 1000}, {RAM, 30, 1, 3000},
                   {RAM, 20, 1, 5000}, {VRAM, 3, 1, 9000});
}

static void an_order_sorted_otherwise_keeps_its_sequence(void **state)
{
    g_autoptr(PageOrder) old =
        ORDER_OF({RAM, 10, 1, 5000}, {RAM, 20, 1, 0}, {RAM, 30, 1, 9000});
    g_autoptr(PageOrder) missed = ORDER_OF({RAM, 5, 1, 7000});
    LoadLesson lesson = lesson_of(missed);
    g_autoptr(PageOrder) learned = learn(old, &lesson);

    ASSERT_EXTENTS(learned, {RAM, 10, 1, 5000}, {RAM, 20, 1, 0},
                   {RAM, 5, 1, 7000}, {RAM, 30, 1, 9000});
}

static void a_known_page_missed_earlier_moves_forward(void **state)
{
    g_autoptr(PageOrder) old =
        ORDER_OF({RAM, 10, 1, 3000}, {RAM, 20, 4, 9000, .idle_loads = 2});
    g_autoptr(PageOrder) missed = ORDER_OF({RAM, 21, 1, 1000});
    LoadLesson lesson = lesson_of(missed);
    g_autoptr(PageOrder) learned = learn(old, &lesson);

    ASSERT_EXTENTS(learned, {RAM, 21, 1, 1000}, {RAM, 10, 1, 3000},
                   {RAM, 20, 1, 9000}, {RAM, 22, 2, 9000});
    assert_int_equal(extent_of(learned, 0)->idle_loads, 0);
    assert_int_equal(extent_of(learned, 2)->idle_loads, 2);
}

static void a_known_page_missed_later_stays_and_is_not_idle(void **state)
{
    g_autoptr(PageOrder) old = ORDER_OF({RAM, 10, 1, 1000, .idle_loads = 2});
    g_autoptr(PageOrder) missed = ORDER_OF({RAM, 10, 1, 8000});
    LoadLesson lesson = lesson_of(missed);
    g_autoptr(PageOrder) learned = learn(old, &lesson);

    assert_extents(learned, old);
    assert_int_equal(extent_of(learned, 0)->idle_loads, 0);
}

static void unused_pages_decay_and_leave(void **state)
{
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) unused = ORDER_OF({RAM, 10, 1, 0});
    g_autoptr(PageOrder) order =
        ORDER_OF({RAM, 10, 1, 1000}, {RAM, 20, 1, 3000});
    LoadLesson lesson = lesson_of(missed);

    lesson.unused = unused;
    for (uint32_t load = 1; load <= 3; load++) {
        PageOrder *learned = learn(order, &lesson);

        page_order_free(order);
        order = learned;
        if (load < 3) {
            assert_int_equal(order->extents->len, 2);
            assert_int_equal(extent_of(order, 0)->idle_loads, load);
        }
    }
    assert_int_equal(order->extents->len, 1);
    assert_int_equal(extent_of(order, 0)->span.first_page, 20);
    assert_int_equal(order->n_runs, 4);
}

static void a_used_page_is_not_idle_any_more(void **state)
{
    g_autoptr(PageOrder) old = ORDER_OF({RAM, 10, 1, 1000, .idle_loads = 2});
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) used = ORDER_OF({RAM, 0, 100, 0});
    LoadLesson lesson = lesson_of(missed);

    lesson.used = used;
    g_autoptr(PageOrder) learned = learn(old, &lesson);

    assert_extents(learned, old);
    assert_int_equal(extent_of(learned, 0)->idle_loads, 0);
}

static void a_page_that_nothing_is_known_of_does_not_decay(void **state)
{
    g_autoptr(PageOrder) old = ORDER_OF({RAM, 10, 1, 1000, .idle_loads = 2});
    g_autoptr(PageOrder) missed = empty_order();
    LoadLesson lesson = lesson_of(missed);
    g_autoptr(PageOrder) learned = learn(old, &lesson);

    assert_int_equal(extent_of(learned, 0)->idle_loads, 2);
}

static void beyond_the_budget_the_idlest_leave_and_then_the_last(void **state)
{
    g_autoptr(PageOrder) old = ORDER_OF({RAM, 10, 4, 1000, .idle_loads = 1},
                                        {RAM, 20, 4, 3000}, {RAM, 30, 4, 5000});
    g_autoptr(PageOrder) missed = ORDER_OF({RAM, 40, 4, 4000});
    LoadLesson lesson = lesson_of(missed);

    lesson.max_bytes = 10 * 4096;
    g_autoptr(PageOrder) learned = learn(old, &lesson);

    ASSERT_EXTENTS(learned, {RAM, 20, 4, 3000}, {RAM, 40, 4, 4000},
                   {RAM, 30, 2, 5000});
}

static void the_first_lesson_makes_the_order(void **state)
{
    g_autoptr(PageOrder) old = page_order_new();
    g_autoptr(PageOrder) missed =
        ORDER_OF({RAM, 10, 1, 1000}, {VRAM, 1, 1, 2000});
    LoadLesson lesson = lesson_of(missed);
    g_autoptr(PageOrder) learned = learn(old, &lesson);

    assert_extents(learned, missed);
    assert_string_equal(learned->identity, missed->identity);
}

static void different_page_sizes_cannot_be_learned_from(void **state)
{
    g_autoptr(PageOrder) old = empty_order();
    g_autoptr(PageOrder) missed = page_order_new();
    g_autoptr(GError) error = NULL;
    LoadLesson lesson = lesson_of(missed);

    page_order_add_block(missed, "pc.ram", 1 << 20, 512);
    assert_null(order_learn(old, &lesson, &error));
    assert_true(
        g_error_matches(error, PROFILER_ERROR, PROFILER_ERROR_MISMATCH));
}

static void all_pages_are_accounted_for(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(61);

    for (guint round = 0; round < 200; round++) {
        g_autoptr(PageOrder) old = random_order(rand, 40, FALSE);
        g_autoptr(PageOrder) missed = random_order(rand, 20, TRUE);
        g_autoptr(PageOrder) used = random_order(rand, 20, TRUE);
        g_autoptr(PageOrder) unused = random_order(rand, 20, TRUE);
        g_autoptr(PageOrder) learned = NULL;
        LoadLesson lesson = lesson_of(missed);

        lesson.used = used;
        lesson.unused = unused;
        lesson.max_idle_loads = 1;
        for (guint i = 0; i < old->extents->len; i++) {
            extent_of(old, i)->idle_loads = 0;
        }
        learned = learn(old, &lesson);

        assert_disjoint(learned);
        for (uint32_t block = 0; block < N_BLOCKS; block++) {
            for (guint page = 0; page < n_pages_of(block); page++) {
                gboolean idle = has_page(unused, block, page) &&
                                !has_page(used, block, page);

                assert_int_equal(has_page(learned, block, page),
                                 has_page(missed, block, page) ||
                                     (has_page(old, block, page) && !idle));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_without_misses_changes_no_page),
        cmocka_unit_test(missed_pages_come_in_where_their_time_puts_them),
        cmocka_unit_test(an_order_sorted_otherwise_keeps_its_sequence),
        cmocka_unit_test(a_known_page_missed_earlier_moves_forward),
        cmocka_unit_test(a_known_page_missed_later_stays_and_is_not_idle),
        cmocka_unit_test(unused_pages_decay_and_leave),
        cmocka_unit_test(a_used_page_is_not_idle_any_more),
        cmocka_unit_test(a_page_that_nothing_is_known_of_does_not_decay),
        cmocka_unit_test(beyond_the_budget_the_idlest_leave_and_then_the_last),
        cmocka_unit_test(the_first_lesson_makes_the_order),
        cmocka_unit_test(different_page_sizes_cannot_be_learned_from),
        cmocka_unit_test(all_pages_are_accounted_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
