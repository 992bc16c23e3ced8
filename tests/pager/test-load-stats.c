/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The statistics of a load, with a clock that the tests set: this program is
 * linked with --wrap=clock_gettime.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <glib.h>

#include "plugin/pager/load-stats.h"

#define START_US UINT64_C(5000000)
#define OTHER    9 /* a thread that is no vCPU's */

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

static uint64_t clock_us;

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    assert_int_equal(clock, CLOCK_MONOTONIC);
    now->tv_sec = (time_t)(clock_us / 1000000);
    now->tv_nsec = (long)(clock_us % 1000000) * 1000;
    return 0;
}

static LoadStats *stats_new(const uint32_t *thread_ids, size_t n_vcpus)
{
    LoadStats *stats = load_stats_new(START_US);

    clock_us = START_US;
    load_stats_set_vcpus(stats, thread_ids, n_vcpus);
    return stats;
}

/* A demand fault of thread that takes this long. */
static void fault(LoadStats *stats, uint32_t thread, uint64_t latency_us)
{
    uint64_t begin_us = load_stats_fault_begin(stats, thread, true);

    clock_us += latency_us;
    load_stats_fault_end(stats, thread, begin_us, true);
}

/* The number at path ("latency-us.p50", "latency-dist.3"); -1: null. */
static json_int_t number(LoadStats *stats, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, ".", 0);
    json_t *json =
        load_stats_to_json(stats, LOAD_POLICY_DEMAND, LOAD_STATE_LOADING);
    const json_t *at = json;

    for (size_t i = 0; names[i]; i++) {
        at = json_is_array(at)
                 ? json_array_get(at,
                                  (size_t)g_ascii_strtoull(names[i], NULL, 10))
                 : json_object_get(at, names[i]);
    }
    assert_non_null(at);
    json_int_t value = json_is_null(at) ? -1 : json_integer_value(at);
    json_decref(json);
    return value;
}

/* ---- latencies ---- */

static void percentiles_are_right_within_a_sixteenth(void **state)
{
    for (uint64_t latency_us = 1; latency_us < UINT64_C(16000000);
         latency_us = latency_us * 21 / 20 + 1) {
        LoadStats *stats = stats_new(NULL, 0);

        fault(stats, OTHER, latency_us);
        fault(stats, OTHER, UINT64_C(16000000));
        uint64_t p50 = (uint64_t)number(stats, "latency-us.p50");
        assert_in_range(p50, latency_us, latency_us + latency_us / 16);
        load_stats_free(stats);
    }
}

static void
percentiles_tell_what_a_share_of_all_faults_stays_below(void **state)
{
    LoadStats *stats = stats_new(NULL, 0);

    for (unsigned i = 0; i < 98; i++) {
        fault(stats, OTHER, 16);
    }
    fault(stats, OTHER, 1024);
    fault(stats, OTHER, 70000);
    assert_in_range(number(stats, "latency-us.p50"), 16, 17);
    assert_in_range(number(stats, "latency-us.p99"), 1024, 1088);
    assert_int_equal(number(stats, "latency-us.max"), 70000);
    load_stats_free(stats);
}

static void a_percentile_is_never_above_the_largest_latency(void **state)
{
    LoadStats *stats = stats_new(NULL, 0);

    fault(stats, OTHER, 1000);
    assert_int_equal(number(stats, "latency-us.p50"), 1000);
    assert_int_equal(number(stats, "latency-us.p99"), 1000);
    load_stats_free(stats);
}

static void without_faults_all_latencies_are_zero(void **state)
{
    LoadStats *stats = stats_new(NULL, 0);

    assert_int_equal(number(stats, "latency-us.p50"), 0);
    assert_int_equal(number(stats, "latency-us.p99"), 0);
    assert_int_equal(number(stats, "latency-us.max"), 0);
    load_stats_free(stats);
}

static void buckets_are_powers_of_two_of_microseconds(void **state)
{
    static const struct {
        uint64_t latency_us;
        const char *path;
    } cases[] = {
        {0, "latency-dist.0"},
        {1, "latency-dist.0"},
        {2, "latency-dist.1"},
        {3, "latency-dist.1"},
        {4, "latency-dist.2"},
        {1023, "latency-dist.9"},
        {1024, "latency-dist.10"},
        {UINT64_C(1) << 23, "latency-dist.23"},
        {UINT64_C(1) << 40, "latency-dist.23"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        LoadStats *stats = stats_new(NULL, 0);

        fault(stats, OTHER, cases[i].latency_us);
        assert_int_equal(number(stats, cases[i].path), 1);
        load_stats_free(stats);
    }
}

/* ---- whose faults ---- */

static void faults_count_for_the_vcpu_whose_thread_it_is(void **state)
{
    static const uint32_t threads[] = {100, 200};
    LoadStats *stats = stats_new(threads, 2);

    fault(stats, 100, 3000);
    fault(stats, 200, 5000);
    fault(stats, 200, 6000);
    fault(stats, OTHER, 8000);
    assert_int_equal(number(stats, "demand-faults"), 4);
    assert_int_equal(number(stats, "vcpu-demand-faults.0"), 1);
    assert_int_equal(number(stats, "vcpu-demand-faults.1"), 2);
    assert_int_equal(number(stats, "other-demand-faults"), 1);
    assert_int_equal(number(stats, "vcpu-blocktime-ms.0"), 3);
    assert_int_equal(number(stats, "vcpu-blocktime-ms.1"), 11);
    assert_int_equal(number(stats, "other-blocktime-ms"), 8);
    load_stats_free(stats);
}

static void a_fault_counts_as_soon_as_it_begins(void **state)
{
    LoadStats *stats = stats_new(NULL, 0);

    load_stats_fault_begin(stats, OTHER, true);
    assert_int_equal(number(stats, "demand-faults"), 1);
    load_stats_free(stats);
}

static void a_fault_on_a_zero_page_is_no_demand_fault(void **state)
{
    LoadStats *stats = stats_new(NULL, 0);
    uint64_t begin_us = load_stats_fault_begin(stats, OTHER, false);

    clock_us += 5000;
    load_stats_fault_end(stats, OTHER, begin_us, false);
    assert_int_equal(number(stats, "demand-faults"), 0);
    assert_int_equal(number(stats, "pages.zero-on-fault"), 1);
    assert_int_equal(number(stats, "latency-us.max"), 0);
    assert_int_equal(number(stats, "latency-dist.12"), 0);
    assert_int_equal(number(stats, "other-blocktime-ms"), 5);
    load_stats_free(stats);
}

/* ---- blocktime ---- */

static void blocktime_counts_only_while_all_vcpus_wait(void **state)
{
    static const uint32_t threads[] = {100, 200};
    LoadStats *stats = stats_new(threads, 2);

    uint64_t first_us = load_stats_fault_begin(stats, 100, true);
    clock_us += 10000;
    uint64_t second_us = load_stats_fault_begin(stats, 200, true);
    clock_us += 4000;
    load_stats_fault_end(stats, 100, first_us, true);
    clock_us += 20000;
    load_stats_fault_end(stats, 200, second_us, true);

    assert_int_equal(number(stats, "blocktime-ms"), 4);
    assert_int_equal(number(stats, "vcpu-blocktime-ms.0"), 14);
    assert_int_equal(number(stats, "vcpu-blocktime-ms.1"), 24);
    load_stats_free(stats);
}

static void blocktime_adds_up_over_several_waits(void **state)
{
    static const uint32_t threads[] = {100, 200};
    LoadStats *stats = stats_new(threads, 2);

    uint64_t begin_us = load_stats_fault_begin(stats, 100, true);
    fault(stats, 200, 3000);
    clock_us += 50000;
    fault(stats, 200, 4000);
    load_stats_fault_end(stats, 100, begin_us, true);
    fault(stats, 200, 6000);
    assert_int_equal(number(stats, "blocktime-ms"), 7);
    load_stats_free(stats);
}

static void one_thread_that_runs_all_vcpus_blocks_the_guest_alone(void **state)
{
    static const uint32_t threads[] = {100, 100, 100};
    LoadStats *stats = stats_new(threads, 3);

    fault(stats, 100, 7000);
    assert_int_equal(number(stats, "blocktime-ms"), 7);
    assert_int_equal(number(stats, "vcpu-demand-faults.0"), 1);
    assert_int_equal(number(stats, "vcpu-demand-faults.1"), 0);
    assert_int_equal(number(stats, "vcpu-demand-faults.2"), 0);
    load_stats_free(stats);
}

/* A fault that is served by two threads, because the first to serve it found
 * its page in flight. */
static void two_faults_of_one_vcpu_at_once_count_its_time_once(void **state)
{
    static const uint32_t threads[] = {100};
    LoadStats *stats = stats_new(threads, 1);

    uint64_t first_us = load_stats_fault_begin(stats, 100, true);
    clock_us += 1000;
    uint64_t second_us = load_stats_fault_begin(stats, 100, true);
    clock_us += 1000;
    load_stats_fault_end(stats, 100, first_us, true);
    clock_us += 1000;
    load_stats_fault_end(stats, 100, second_us, true);
    assert_int_equal(number(stats, "blocktime-ms"), 3);
    load_stats_free(stats);
}

static void faults_of_other_threads_do_not_block_the_guest(void **state)
{
    static const uint32_t threads[] = {100};
    LoadStats *stats = stats_new(threads, 1);
    LoadStats *without_vcpus = stats_new(NULL, 0);

    fault(stats, OTHER, 7000);
    fault(without_vcpus, OTHER, 7000);
    assert_int_equal(number(stats, "blocktime-ms"), 0);
    assert_int_equal(number(without_vcpus, "blocktime-ms"), 0);
    load_stats_free(stats);
    load_stats_free(without_vcpus);
}

/* ---- the rest ---- */

static void milestones_are_null_until_reached_and_the_first_counts(void **state)
{
    static const char *const names[] = {
        [MILESTONE_QEMU_READY] = "qemu-ready-ms",
        [MILESTONE_DEVICE_STATE] = "device-state-ms",
        [MILESTONE_RESUMED] = "resumed-ms",
        [MILESTONE_ORDER_DONE] = "order-done-ms",
        [MILESTONE_LOADED] = "loaded-ms",
    };
    LoadStats *stats = stats_new(NULL, 0);

    for (unsigned i = 0; i < N_MILESTONES; i++) {
        if (!names[i]) {
            continue; /* not one of the statistics */
        }
        assert_int_equal(number(stats, names[i]), -1);
        load_stats_milestone(stats, (Milestone)i, START_US + 1000 * i + 999);
        load_stats_milestone(stats, (Milestone)i, START_US + 99000);
        assert_int_equal(number(stats, names[i]), i);
    }
    load_stats_free(stats);
}

static void pages_and_bytes_add_up(void **state)
{
    LoadStats *stats = stats_new(NULL, 0);

    load_stats_set_in_file(stats, 1000);
    load_stats_placed(stats, PLACED_BY_FAULT, 1);
    load_stats_placed(stats, PLACED_BY_ORDER, 20);
    load_stats_placed(stats, PLACED_BY_ORDER, 30);
    load_stats_placed(stats, PLACED_BY_REST, 400);
    load_stats_read(stats, UINT64_C(1) << 40);
    load_stats_read(stats, 4096);
    assert_int_equal(number(stats, "pages.in-file"), 1000);
    assert_int_equal(number(stats, "pages.by-fault"), 1);
    assert_int_equal(number(stats, "pages.by-order"), 50);
    assert_int_equal(number(stats, "pages.by-rest"), 400);
    assert_int_equal(number(stats, "bytes-read"), (INT64_C(1) << 40) + 4096);
    load_stats_free(stats);
}

static void a_page_that_comes_late_is_one_that_a_fault_placed(void **state)
{
    LoadStats *stats = stats_new(NULL, 0);

    load_stats_placed(stats, PLACED_BY_FAULT, 3);
    load_stats_placed(stats, PLACED_LATE, 2);
    assert_int_equal(number(stats, "pages.by-fault"), 5);
    assert_int_equal(number(stats, "pages.late"), 2);
    load_stats_free(stats);
}

static void what_was_held_back_is_told_when_all_is_learned(void **state)
{
    LoadStats *stats = stats_new(NULL, 0);
    json_t *json =
        load_stats_to_json(stats, LOAD_POLICY_DEMAND, LOAD_STATE_LOADING);
    const json_t *pages = json_object_get(json, "pages");

    assert_true(json_is_null(json_object_get(pages, "held-back")));
    assert_true(json_is_null(json_object_get(pages, "unused")));
    json_decref(json);
    load_stats_learned(stats, 80, 3);
    assert_int_equal(number(stats, "pages.held-back"), 80);
    assert_int_equal(number(stats, "pages.unused"), 3);
    load_stats_free(stats);
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of an object's members, sorted, with spaces between them. */
static char *names_of(const json_t *object)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)object, name, value)
    {
        g_ptr_array_add(names, (char *)name);
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return g_strjoinv(" ", (char **)names->pdata);
}

static void assert_names(const json_t *object, const char *expected)
{
    g_autofree char *names = names_of(object);

    assert_string_equal(names, expected);
}

static void failed_pages_are_as_many_as_said_last(void **state)
{
    LoadStats *stats = load_stats_new(0);

    load_stats_set_failed(stats, 7, 2);
    load_stats_set_failed(stats, 5, 1);
    load_stats_slow_read(stats);
    load_stats_slow_read(stats);
    json_t *json =
        load_stats_to_json(stats, LOAD_POLICY_ORDER, LOAD_STATE_FAILED);
    assert_int_equal(json_integer_value(json_object_get(json, "failed-pages")),
                     5);
    assert_int_equal(
        json_integer_value(json_object_get(json, "failed-pages-waited-for")),
        1);
    assert_int_equal(json_integer_value(json_object_get(json, "slow-reads")),
                     2);
    json_decref(json);
    load_stats_free(stats);
}

static void a_pack_is_told_of_once_there_is_one(void **state)
{
    LoadStats *stats = stats_new(NULL, 0);
    json_t *json =
        load_stats_to_json(stats, LOAD_POLICY_ORDER, LOAD_STATE_LOADING);

    (void)state;
    assert_true(json_is_null(json_object_get(json, "pack")));
    json_decref(json);
    load_stats_pack_used(stats, false);
    load_stats_pack_used(stats, true);
    load_stats_pack_pages(stats, 3);
    load_stats_pack_pages(stats, 4);
    json = load_stats_to_json(stats, LOAD_POLICY_ORDER, LOAD_STATE_LOADING);
    const json_t *pack = json_object_get(json, "pack");
    assert_true(json_is_true(json_object_get(pack, "used")));
    assert_int_equal(json_integer_value(json_object_get(pack, "pages")), 7);
    assert_names(pack, "pages used");
    json_decref(json);
    load_stats_free(stats);
}

static void
what_an_order_lacks_is_counted_and_an_end_of_it_is_told(void **state)
{
    LoadStats *stats = stats_new(NULL, 0);
    json_t *json =
        load_stats_to_json(stats, LOAD_POLICY_ORDER, LOAD_STATE_LOADING);

    (void)state;
    assert_true(json_is_false(json_object_get(json, "order-abandoned")));
    json_decref(json);
    load_stats_order_missed(stats);
    load_stats_order_missed(stats);
    load_stats_order_abandoned(stats);
    json = load_stats_to_json(stats, LOAD_POLICY_ORDER, LOAD_STATE_LOADING);
    assert_int_equal(json_integer_value(json_object_get(json, "order-misses")),
                     2);
    assert_true(json_is_true(json_object_get(json, "order-abandoned")));
    json_decref(json);
    load_stats_free(stats);
}

static void the_json_form_has_exactly_the_documented_fields(void **state)
{
    static const uint32_t threads[] = {100, 200, 300};
    LoadStats *stats = stats_new(threads, 3);
    json_t *json =
        load_stats_to_json(stats, LOAD_POLICY_SEQUENTIAL, LOAD_STATE_LOADED);

    assert_names(
        json,
        "blocktime-ms bytes-read demand-faults device-state-ms "
        "failed-pages failed-pages-waited-for huge-pages latency-dist "
        "latency-us loaded-ms order-abandoned order-done-ms "
        "order-misses other-blocktime-ms other-demand-faults pack pages policy "
        "qemu-ready-ms resumed-ms slow-reads state vcpu-blocktime-ms "
        "vcpu-demand-faults");
    assert_names(json_object_get(json, "latency-us"), "max p50 p99");
    assert_names(
        json_object_get(json, "pages"),
        "by-fault by-order by-rest given-back held-back in-file late unused "
        "zero-on-fault");
    assert_string_equal(json_string_value(json_object_get(json, "policy")),
                        "sequential");
    assert_string_equal(json_string_value(json_object_get(json, "state")),
                        "loaded");
    assert_int_equal(
        json_array_size(json_object_get(json, "vcpu-demand-faults")), 3);
    assert_int_equal(
        json_array_size(json_object_get(json, "vcpu-blocktime-ms")), 3);
    assert_int_equal(json_array_size(json_object_get(json, "latency-dist")),
                     24);
    json_decref(json);
    load_stats_free(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_right_within_a_sixteenth),
        cmocka_unit_test(
            percentiles_tell_what_a_share_of_all_faults_stays_below),
        cmocka_unit_test(a_percentile_is_never_above_the_largest_latency),
        cmocka_unit_test(without_faults_all_latencies_are_zero),
        cmocka_unit_test(buckets_are_powers_of_two_of_microseconds),
        cmocka_unit_test(faults_count_for_the_vcpu_whose_thread_it_is),
        cmocka_unit_test(a_fault_counts_as_soon_as_it_begins),
        cmocka_unit_test(a_fault_on_a_zero_page_is_no_demand_fault),
        cmocka_unit_test(blocktime_counts_only_while_all_vcpus_wait),
        cmocka_unit_test(blocktime_adds_up_over_several_waits),
        cmocka_unit_test(one_thread_that_runs_all_vcpus_blocks_the_guest_alone),
        cmocka_unit_test(two_faults_of_one_vcpu_at_once_count_its_time_once),
        cmocka_unit_test(faults_of_other_threads_do_not_block_the_guest),
        cmocka_unit_test(
            milestones_are_null_until_reached_and_the_first_counts),
        cmocka_unit_test(pages_and_bytes_add_up),
        cmocka_unit_test(a_page_that_comes_late_is_one_that_a_fault_placed),
        cmocka_unit_test(what_was_held_back_is_told_when_all_is_learned),
        cmocka_unit_test(failed_pages_are_as_many_as_said_last),
        cmocka_unit_test(a_pack_is_told_of_once_there_is_one),
        cmocka_unit_test(
            what_an_order_lacks_is_counted_and_an_end_of_it_is_told),
        cmocka_unit_test(the_json_form_has_exactly_the_documented_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
