/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The storage here takes a millisecond before a read and a millisecond for
 * each page of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "profiler/simulate/storage-model.h"

#define PAGE_BYTES 4096
#define MS         UINT64_C(1000000)

static void
test_storage_reads_one_after_the_other_with_a_queue_of_one(void **state)
{
    StorageSpec spec = {PAGE_BYTES * 1000, MS, 1};
    StorageModel model;

    storage_model_init(&model, &spec);
    assert_int_equal(storage_model_read(&model, 0, PAGE_BYTES, false), 2 * MS);
    assert_int_equal(storage_model_slot(&model, MS), 2 * MS);
    assert_int_equal(storage_model_read(&model, MS, PAGE_BYTES, false), 4 * MS);
    assert_int_equal(model.bytes_read, 2 * PAGE_BYTES);
}

static void test_storage_overlaps_latency_but_not_transfers(void **state)
{
    StorageSpec spec = {PAGE_BYTES * 1000, MS, 2};
    StorageModel model;

    storage_model_init(&model, &spec);
    assert_int_equal(storage_model_read(&model, 0, PAGE_BYTES, false), 2 * MS);
    assert_int_equal(storage_model_slot(&model, 0), 0);
    assert_int_equal(storage_model_read(&model, 0, PAGE_BYTES, false), 3 * MS);
    assert_int_equal(storage_model_slot(&model, 0), 2 * MS);
    assert_int_equal(storage_model_read(&model, 0, PAGE_BYTES, false), 4 * MS);
}

static void test_urgent_read_does_not_wait_for_other_transfers(void **state)
{
    StorageSpec spec = {PAGE_BYTES * 1000, MS, 3};
    StorageModel model;

    storage_model_init(&model, &spec);
    assert_int_equal(storage_model_read(&model, 0, 8 * PAGE_BYTES, false),
                     9 * MS);
    assert_int_equal(storage_model_read(&model, 0, PAGE_BYTES, true), 2 * MS);
    assert_int_equal(storage_model_read(&model, 0, PAGE_BYTES, false), 11 * MS);
}

static void test_storage_spec_is_read_with_units(void **state)
{
    g_autoptr(GError) error = NULL;
    StorageSpec spec;

    assert_true(storage_spec_parse("bandwidth=400M,latency=1.5ms,queue=8",
                                   &spec, &error));
    assert_int_equal(spec.bandwidth_bytes_s, 400 << 20);
    assert_int_equal(spec.latency_ns, 1500000);
    assert_int_equal(spec.queue, 8);
    assert_true(storage_spec_parse("bandwidth=1G", &spec, &error));
    assert_int_equal(spec.latency_ns, 0);
    assert_int_equal(spec.queue, 1);
}

static void test_storage_spec_that_makes_no_sense_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "latency=1ms",
        "bandwidth=",
        "bandwidth=0",
        "bandwidth=-5M",
        "bandwidth=nan",
        "bandwidth=1e300G",
        "bandwidth=400X",
        "bandwidth=1M,latency=5",
        "bandwidth=1M,latency=2h",
        "bandwidth=1M,latency=1e9s",
        "bandwidth=1M,queue=0",
        "bandwidth=1M,queue=100000",
        "bandwidth=1M,speed=3",
        "bandwidth=1M,,queue=3",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        StorageSpec spec = {.queue = 77};

        assert_false(storage_spec_parse(texts[i], &spec, &error));
        assert_true(
            g_error_matches(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE));
        assert_int_equal(spec.queue, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_storage_reads_one_after_the_other_with_a_queue_of_one),
        cmocka_unit_test(test_storage_overlaps_latency_but_not_transfers),
        cmocka_unit_test(test_urgent_read_does_not_wait_for_other_transfers),
        cmocka_unit_test(test_storage_spec_is_read_with_units),
        cmocka_unit_test(test_storage_spec_that_makes_no_sense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
