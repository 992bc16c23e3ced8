/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/plot/plot-stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <glib/gstdio.h>

#include "formats/error.h"
#include "util/error.h"

#define STATS_TEXT                                                             \
    "{\"policy\": \"order\", \"demand-faults\": 7, \"blocktime-ms\": 1.5,"     \
    " \"latency-us\": {\"p50\": 10, \"p99\": 20, \"max\": 30},"                \
    " \"pages\": {\"in-file\": 100, \"by-fault\": 7, \"late\": 4,"             \
    " \"by-order\": 60, \"by-rest\": 30, \"zero-on-fault\": 2,"                \
    " \"held-back\": null, \"unused\": null},"                                 \
    " \"resumed-ms\": 250, \"order-done-ms\": null}"

static void test_statistics_of_a_load_are_read(void **state)
{
    json_t *root = json_loads(STATS_TEXT, 0, NULL);
    g_autoptr(PlotStats) stats = plot_stats_from_json(root, NULL);

    json_decref(root);
    assert_string_equal(stats->policy, "order");
    assert_int_equal(stats->by_order, 60);
    assert_int_equal(stats->late, 4);
    assert_true(isnan(stats->unused));
    assert_int_equal(plot_stats_unused(stats, 50), 0);
    assert_int_equal(stats->demand_faults, 7);
    assert_true(stats->max_us == 30);
    assert_true(stats->resumed_ms == 250);
    assert_true(isnan(stats->order_done_ms));
    assert_true(isnan(stats->loaded_ms));
    assert_int_equal(plot_stats_not_loaded(stats), 3);
    assert_true(fabs(plot_stats_mean_fault_us(stats) - 1500.0 / 9) < 1e-9);
}

static void test_unused_pages_are_estimated_from_those_held_back(void **state)
{
    PlotStats stats = {.by_order = 600, .held_back = 40, .unused = 10};

    assert_int_equal(plot_stats_unused(&stats, 1000), 150);
    assert_int_equal(plot_stats_held_and_used(&stats), 30);
    assert_true(plot_stats_has_learned(&stats));
    stats.unused = 80;
    assert_int_equal(plot_stats_unused(&stats, 1000), 0);
    assert_int_equal(plot_stats_held_and_used(&stats), 0);
}

/* What lies between them was read in one piece with them. */
static void test_no_more_pages_are_on_time_than_the_order_has(void **state)
{
    PlotStats stats = {.by_order = 4099, .late = 46, .held_back = NAN};

    assert_int_equal(plot_stats_own(&stats, 2546), 2500);
    stats.held_back = 500;
    stats.unused = 50;
    assert_int_equal(plot_stats_own(&stats, 2546), 2000);
    assert_int_equal(plot_stats_unused(&stats, 2546), 200);
    assert_int_equal(plot_stats_own(&stats, 9000), 4099);
    assert_int_equal(plot_stats_own(&stats, 40), 0);
}

static void test_nothing_held_back_is_nothing_learned(void **state)
{
    PlotStats stats = {.held_back = 0, .unused = 0};

    assert_false(plot_stats_has_learned(&stats));
    stats.held_back = stats.unused = NAN;
    assert_false(plot_stats_has_learned(&stats));
}

static void
test_not_foreseen_are_faults_on_none_of_the_orders_pages(void **state)
{
    PlotStats stats = {.by_fault = 50, .late = 8, .held_back = 40, .unused = 0};

    assert_int_equal(plot_stats_not_foreseen(&stats), 2);
    stats.held_back = NAN;
    assert_int_equal(plot_stats_not_foreseen(&stats), 42);
    stats.late = 60;
    assert_int_equal(plot_stats_not_foreseen(&stats), 0);
}

static void
test_statistics_without_a_field_are_refused_by_its_name(void **state)
{
    json_t *root = json_loads(STATS_TEXT, 0, NULL);
    g_autoptr(GError) error = NULL;

    json_object_del(json_object_get(root, "pages"), "by-rest");
    assert_null(plot_stats_from_json(root, &error));
    assert_true(g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_MALFORMED));
    assert_non_null(strstr(error->message, "pages.by-rest"));
    json_decref(root);
}

static void
test_statistics_that_are_no_json_are_refused_with_the_line(void **state)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;

    close(g_file_open_tmp("preheat-XXXXXX.json", &path, NULL));
    assert_true(g_file_set_contents(path, "{\n  nonsense\n}", -1, NULL));
    assert_null(plot_stats_load(path, &error));
    assert_non_null(strstr(error->message, ".json:2:"));
    g_unlink(path);
}

static void test_statistics_that_are_missing_are_told_so(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_null(plot_stats_load("/nonexistent/load.json", &error));
    assert_true(g_error_matches(error, UTIL_ERROR, UTIL_ERROR_FAILED));
    assert_string_equal(error->message,
                        "/nonexistent/load.json: cannot open it: "
                        "No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics_of_a_load_are_read),
        cmocka_unit_test(test_unused_pages_are_estimated_from_those_held_back),
        cmocka_unit_test(test_no_more_pages_are_on_time_than_the_order_has),
        cmocka_unit_test(test_nothing_held_back_is_nothing_learned),
        cmocka_unit_test(
            test_not_foreseen_are_faults_on_none_of_the_orders_pages),
        cmocka_unit_test(
            test_statistics_without_a_field_are_refused_by_its_name),
        cmocka_unit_test(
            test_statistics_that_are_no_json_are_refused_with_the_line),
        cmocka_unit_test(test_statistics_that_are_missing_are_told_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
