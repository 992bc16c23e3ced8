/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/learn.h"

#include "profiler/error.h"
#include "profiler/normalise.h"
#include "tests/profiler/orders.h"

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
    g_autoptr(PageOrder) old = empty_order();
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) expected = empty_order();
    g_autoptr(PageOrder) learned = NULL;
    LoadLesson lesson = lesson_of(missed);

    add(old, RAM, 10, 1, 1000);
    add(old, RAM, 20, 1, 5000);
    add(missed, VRAM, 3, 1, 9000);
    add(missed, RAM, 30, 1, 3000);
    extent_of(missed, 1)->idle_loads = 2;
    learned = learn(old, &lesson);

    assert_int_equal(extent_of(learned, 1)->idle_loads, 0);
    add(expected, RAM, 10, 1, 1000);
    add(expected, RAM, 30, 1, 3000);
    add(expected, RAM, 20, 1, 5000);
    add(expected, VRAM, 3, 1, 9000);
    assert_extents(learned, expected);
}

static void an_order_sorted_otherwise_keeps_its_sequence(void **state)
{
    g_autoptr(PageOrder) old = empty_order();
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) expected = empty_order();
    g_autoptr(PageOrder) learned = NULL;
    LoadLesson lesson = lesson_of(missed);

    add(old, RAM, 10, 1, 5000);
    add(old, RAM, 20, 1, 0);
    add(old, RAM, 30, 1, 9000);
    add(missed, RAM, 5, 1, 7000);
    learned = learn(old, &lesson);

    add(expected, RAM, 10, 1, 5000);
    add(expected, RAM, 20, 1, 0);
    add(expected, RAM, 5, 1, 7000);
    add(expected, RAM, 30, 1, 9000);
    assert_extents(learned, expected);
}

static void a_known_page_missed_earlier_moves_forward(void **state)
{
    g_autoptr(PageOrder) old = empty_order();
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) expected = empty_order();
    g_autoptr(PageOrder) learned = NULL;
    LoadLesson lesson = lesson_of(missed);

    add(old, RAM, 10, 1, 3000);
    add(old, RAM, 20, 4, 9000);
    extent_of(old, 1)->idle_loads = 2;
    add(missed, RAM, 21, 1, 1000);
    learned = learn(old, &lesson);

    add(expected, RAM, 21, 1, 1000);
    add(expected, RAM, 10, 1, 3000);
    add(expected, RAM, 20, 1, 9000);
    add(expected, RAM, 22, 2, 9000);
    assert_extents(learned, expected);
    assert_int_equal(extent_of(learned, 0)->idle_loads, 0);
    assert_int_equal(extent_of(learned, 2)->idle_loads, 2);
}

static void a_known_page_missed_later_stays_and_is_not_idle(void **state)
{
    g_autoptr(PageOrder) old = empty_order();
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) learned = NULL;
    LoadLesson lesson = lesson_of(missed);

    add(old, RAM, 10, 1, 1000);
    extent_of(old, 0)->idle_loads = 2;
    add(missed, RAM, 10, 1, 8000);
    learned = learn(old, &lesson);

    assert_extents(learned, old);
    assert_int_equal(extent_of(learned, 0)->idle_loads, 0);
}

static void unused_pages_decay_and_leave(void **state)
{
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) unused = empty_order();
    g_autoptr(PageOrder) order = empty_order();
    LoadLesson lesson = lesson_of(missed);

    add(order, RAM, 10, 1, 1000);
    add(order, RAM, 20, 1, 3000);
    add(unused, RAM, 10, 1, 0);
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
    assert_int_equal(extent_of(order, 0)->first_page, 20);
    assert_int_equal(order->n_runs, 4);
}

static void a_used_page_is_not_idle_any_more(void **state)
{
    g_autoptr(PageOrder) old = empty_order();
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) used = empty_order();
    g_autoptr(PageOrder) learned = NULL;
    LoadLesson lesson = lesson_of(missed);

    add(old, RAM, 10, 1, 1000);
    extent_of(old, 0)->idle_loads = 2;
    add(used, RAM, 0, 100, 0);
    lesson.used = used;
    learned = learn(old, &lesson);

    assert_extents(learned, old);
    assert_int_equal(extent_of(learned, 0)->idle_loads, 0);
}

static void a_page_that_nothing_is_known_of_does_not_decay(void **state)
{
    g_autoptr(PageOrder) old = empty_order();
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) learned = NULL;
    LoadLesson lesson = lesson_of(missed);

    add(old, RAM, 10, 1, 1000);
    extent_of(old, 0)->idle_loads = 2;
    learned = learn(old, &lesson);

    assert_int_equal(extent_of(learned, 0)->idle_loads, 2);
}

static void beyond_the_budget_the_idlest_leave_and_then_the_last(void **state)
{
    g_autoptr(PageOrder) old = empty_order();
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) expected = empty_order();
    g_autoptr(PageOrder) learned = NULL;
    LoadLesson lesson = lesson_of(missed);

    add(old, RAM, 10, 4, 1000);
    extent_of(old, 0)->idle_loads = 1;
    add(old, RAM, 20, 4, 3000);
    add(old, RAM, 30, 4, 5000);
    add(missed, RAM, 40, 4, 4000);
    lesson.max_bytes = 10 * 4096;
    learned = learn(old, &lesson);

    add(expected, RAM, 20, 4, 3000);
    add(expected, RAM, 40, 4, 4000);
    add(expected, RAM, 30, 2, 5000);
    assert_extents(learned, expected);
}

static void the_first_lesson_makes_the_order(void **state)
{
    g_autoptr(PageOrder) old = page_order_new();
    g_autoptr(PageOrder) missed = empty_order();
    g_autoptr(PageOrder) learned = NULL;
    LoadLesson lesson = lesson_of(missed);

    add(missed, RAM, 10, 1, 1000);
    add(missed, VRAM, 1, 1, 2000);
    learned = learn(old, &lesson);

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
