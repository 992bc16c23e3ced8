/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/recorder.h"

#include <pthread.h>

#include "formats/error.h"
#include "tests/profiler/orders/orders.h"

#define N_THREADS        4
#define NOTES_PER_THREAD 40000
#define BIG_BLOCK_PAGES  (UINT64_C(1) << 20)

static PageOrder *to_order(Recorder *recorder, uint64_t start_us)
{
    g_autoptr(PageOrder) blocks = empty_order();
    GError *error = NULL;
    PageOrder *order = recorder_to_order(recorder, blocks->blocks, start_us,
                                         NULL, PAGE_ORDER_ORIGIN_LOAD, &error);

    assert_null(error);
    assert_true(page_order_check(order, NULL));
    return order;
}

static void a_recorder_without_notes_gives_an_empty_order(void **state)
{
    g_autoptr(Recorder) recorder = recorder_new(10);
    g_autoptr(PageOrder) order = to_order(recorder, 0);

    assert_int_equal(recorder_count(recorder), 0);
    assert_int_equal(order->extents->len, 0);
    assert_int_equal(order->blocks->len, N_BLOCKS);
    assert_int_equal(order->origin, PAGE_ORDER_ORIGIN_LOAD);
    assert_null(order->identity);
}

static void the_order_carries_the_identity(void **state)
{
    g_autoptr(Recorder) recorder = recorder_new(10);
    g_autoptr(PageOrder) blocks = empty_order();
    g_autoptr(PageOrder) order =
        recorder_to_order(recorder, blocks->blocks, 0, blocks->identity,
                          PAGE_ORDER_ORIGIN_SAVE, NULL);

    assert_string_equal(order->identity, blocks->identity);
    assert_int_equal(order->origin, PAGE_ORDER_ORIGIN_SAVE);
}

static void notes_come_out_by_time_counted_from_the_start(void **state)
{
    g_autoptr(Recorder) recorder = recorder_new(10);

    recorder_note(recorder, RAM, 7, PAGE_ACCESS_WRITE, 9000);
    recorder_note(recorder, VRAM, 3, PAGE_ACCESS_READ, 5000);
    recorder_note(recorder, RAM, 1, PAGE_ACCESS_READ, 900);
    g_autoptr(PageOrder) order = to_order(recorder, 1000);

    ASSERT_EXTENTS(order, {RAM, 1, 1, 0}, {VRAM, 3, 1, 4000},
                   {RAM, 7, 1, 8000});
    assert_int_equal(page_order_extent(order, 1)->access, PAGE_ACCESS_READ);
    assert_int_equal(page_order_extent(order, 2)->access, PAGE_ACCESS_WRITE);
}

static void neighbours_touched_together_become_one_extent(void **state)
{
    g_autoptr(Recorder) recorder = recorder_new(10);

    recorder_note(recorder, RAM, 4, PAGE_ACCESS_READ, 10);
    recorder_note(recorder, RAM, 6, PAGE_ACCESS_READ, 30);
    recorder_note(recorder, RAM, 5, PAGE_ACCESS_READ, 20);
    recorder_note(recorder, RAM, 8, PAGE_ACCESS_READ, 30);
    recorder_note(recorder, RAM, 7, PAGE_ACCESS_READ, 30);
    g_autoptr(PageOrder) order = to_order(recorder, 0);

    ASSERT_EXTENTS(order, {RAM, 4, 5, 10});
}

static void a_page_noted_twice_counts_at_its_first_touch(void **state)
{
    g_autoptr(Recorder) recorder = recorder_new(10);

    recorder_note(recorder, RAM, 9, PAGE_ACCESS_READ, 7000);
    recorder_note(recorder, RAM, 9, PAGE_ACCESS_READ, 2000);
    recorder_note(recorder, RAM, 2, PAGE_ACCESS_READ, 4000);
    g_autoptr(PageOrder) order = to_order(recorder, 0);

    ASSERT_EXTENTS(order, {RAM, 9, 1, 2000}, {RAM, 2, 1, 4000});
}

static void notes_beyond_the_limit_are_dropped_and_counted(void **state)
{
    g_autoptr(Recorder) recorder = recorder_new(3);
    g_autoptr(PageOrder) order = NULL;

    for (uint64_t i = 0; i < 8; i++) {
        recorder_note(recorder, RAM, 2 * i, PAGE_ACCESS_UNKNOWN, i);
    }
    assert_int_equal(recorder_count(recorder), 3);
    assert_int_equal(recorder_dropped(recorder), 5);
    order = to_order(recorder, 0);
    assert_int_equal(order->extents->len, 3);
}

static void a_page_outside_its_block_is_an_error(void **state)
{
    g_autoptr(PageOrder) blocks = empty_order();
    const struct {
        uint32_t block;
        uint64_t page;
    } outside[] = {
        {VRAM, VRAM_PAGES},
        {RAM, UINT64_MAX},
        {N_BLOCKS, 0},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(outside); i++) {
        g_autoptr(Recorder) recorder = recorder_new(3);
        g_autoptr(GError) error = NULL;

        recorder_note(recorder, outside[i].block, outside[i].page,
                      PAGE_ACCESS_READ, 1);
        assert_null(recorder_to_order(recorder, blocks->blocks, 0, NULL,
                                      PAGE_ORDER_ORIGIN_LOAD, &error));
        assert_true(
            g_error_matches(error, FORMATS_ERROR, FORMATS_ERROR_MALFORMED));
    }
}

typedef struct Noter {
    pthread_t thread;
    pthread_barrier_t *start; /* all begin together; NULL: at once */
    Recorder *recorder;
    uint64_t first_page;
} Noter;

static void *note_pages(void *arg)
{
    Noter *noter = arg;

    if (noter->start != NULL) {
        pthread_barrier_wait(noter->start);
    }
    for (uint64_t i = 0; i < NOTES_PER_THREAD; i++) {
        uint64_t page = noter->first_page + i * N_THREADS;

        recorder_note(noter->recorder, 0, page, PAGE_ACCESS_READ, page);
    }
    return NULL;
}

static void notes_of_several_threads_are_all_there(void **state)
{
    g_autoptr(Recorder) recorder = recorder_new(SIZE_MAX);
    g_autoptr(PageOrder) blocks = page_order_new();
    g_autoptr(PageOrder) order = NULL;
    Noter noters[N_THREADS];
    pthread_barrier_t start;
    uint64_t next_page = 0;

    pthread_barrier_init(&start, NULL, N_THREADS);
    page_order_add_block(blocks, "pc.ram", BIG_BLOCK_PAGES * 4096, 4096);
    for (size_t i = 0; i < N_THREADS; i++) {
        noters[i].recorder = recorder;
        noters[i].first_page = i;
        noters[i].start = &start;
        pthread_create(&noters[i].thread, NULL, note_pages, &noters[i]);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        pthread_join(noters[i].thread, NULL);
    }
    pthread_barrier_destroy(&start);

    assert_int_equal(recorder_count(recorder), N_THREADS * NOTES_PER_THREAD);
    assert_int_equal(recorder_dropped(recorder), 0);
    order = recorder_to_order(recorder, blocks->blocks, 0, NULL,
                              PAGE_ORDER_ORIGIN_LOAD, NULL);
    for (guint i = 0; i < order->extents->len; i++) {
        const PageExtent *extent = page_order_extent(order, i);

        assert_int_equal(extent->span.first_page, next_page);
        assert_int_equal(extent->time_us, next_page);
        next_page += extent->span.n_pages;
    }
    assert_int_equal(next_page, N_THREADS * NOTES_PER_THREAD);
}

static void an_order_can_be_taken_while_others_note(void **state)
{
    g_autoptr(Recorder) recorder = recorder_new(SIZE_MAX);
    g_autoptr(PageOrder) blocks = page_order_new();
    Noter noter = {.recorder = recorder};
    size_t n_before = 0;

    page_order_add_block(blocks, "pc.ram", BIG_BLOCK_PAGES * 4096, 4096);
    pthread_create(&noter.thread, NULL, note_pages, &noter);
    while (n_before < NOTES_PER_THREAD) {
        g_autoptr(PageOrder) order = NULL;

        n_before = recorder_count(recorder);
        order = recorder_to_order(recorder, blocks->blocks, 0, NULL,
                                  PAGE_ORDER_ORIGIN_LOAD, NULL);
        assert_non_null(order);
        assert_true(order->extents->len >= n_before);
    }
    pthread_join(noter.thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recorder_without_notes_gives_an_empty_order),
        cmocka_unit_test(the_order_carries_the_identity),
        cmocka_unit_test(notes_come_out_by_time_counted_from_the_start),
        cmocka_unit_test(neighbours_touched_together_become_one_extent),
        cmocka_unit_test(a_page_noted_twice_counts_at_its_first_touch),
        cmocka_unit_test(notes_beyond_the_limit_are_dropped_and_counted),
        cmocka_unit_test(a_page_outside_its_block_is_an_error),
        cmocka_unit_test(notes_of_several_threads_are_all_there),
        cmocka_unit_test(an_order_can_be_taken_while_others_note),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
