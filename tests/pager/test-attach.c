/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Taking over memory that is being touched meanwhile.  The linker's --wrap
 * draws out the moment between registering and discarding.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "plugin/pager/pager.h"
#include "tests/pager/fake-snapshot.h"
#include "tests/pager/ram-kinds.h"
#include "util/clock.h"

#define N_PAGES 4096

static _Atomic bool end_touching;

/* What discarding is answered with, unless 0. */
static int discard_rc;

int __real_ram_range_discard(RamKind kind, uint64_t start, uint64_t len_bytes);
int __wrap_ram_range_discard(RamKind kind, uint64_t start, uint64_t len_bytes);

int __wrap_ram_range_discard(RamKind kind, uint64_t start, uint64_t len_bytes)
{
    if (discard_rc != 0) {
        return discard_rc;
    }
    /* Time enough for whoever touches pages now to get them, if anybody
     * gave them any. */
    for (int i = 0; i < 5000; i++) {
        sched_yield();
    }
    return __real_ram_range_discard(kind, start, len_bytes);
}

static void *touch_pages(void *opaque)
{
    volatile const uint8_t *memory = opaque;

    for (uint64_t page = 0; !atomic_load(&end_touching);
         page = (page + 1) % N_PAGES) {
        (void)memory[page * FAKE_PAGE_BYTES];
    }
    return NULL;
}

static Pager *start_pager(FakeSource *source, LoadStats *stats)
{
    const PagerConfig config = {
        .source = fake_source_base(source),
        .policy = LOAD_POLICY_SEQUENTIAL,
        .stats = stats,
        .n_fault_threads = 2,
        .n_eager_threads = 2,
    };
    g_autoptr(GError) error = NULL;
    Pager *pager = pager_new(&config, &error);

    assert_non_null(pager);
    return pager;
}

static void attach(Pager *pager, const RamImage *snapshot, uint8_t *memory)
{
    const PagerRange range = {snapshot->blocks[0].name, (uintptr_t)memory,
                              snapshot->blocks[0].len_bytes};
    g_autoptr(GError) error = NULL;

    if (!pager_attach(pager, &range, 1, NULL, 0, &error) ||
        !pager_wait(pager, LOAD_GOAL_ALL, &error)) {
        fail_msg("%s", error->message);
    }
}

static void pages_touched_while_memory_is_taken_over_are_right(void **state)
{
    RamImage *snapshot = fake_snapshot_new(1, N_PAGES, 6, 11);
    FakeSource *source = fake_source_new(snapshot);
    LoadStats *stats = load_stats_new(monotonic_us());
    Pager *pager = start_pager(source, stats);
    /* Nothing of it is there: each touch is a fault at once. */
    uint8_t *memory =
        mmap(NULL, N_PAGES * FAKE_PAGE_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;
    size_t n_wrong = 0;

    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(pthread_create(&thread, NULL, touch_pages, memory), 0);
    attach(pager, snapshot, memory);
    atomic_store(&end_touching, true);
    pthread_join(thread, NULL);
    for (uint64_t page = 0; page < N_PAGES; page++) {
        n_wrong += !fake_page_is_right(snapshot, 0, page,
                                       memory + page * FAKE_PAGE_BYTES);
    }
    assert_int_equal(n_wrong, 0);
    pager_free(pager);
    munmap(memory, N_PAGES * FAKE_PAGE_BYTES);
    load_stats_free(stats);
    fake_source_free(source);
    fake_snapshot_free(snapshot);
}

static void after_an_attach_that_failed_there_is_no_other(void **state)
{
    RamImage *snapshot = fake_snapshot_new(1, N_PAGES, 6, 11);
    FakeSource *source = fake_source_new(snapshot);
    LoadStats *stats = load_stats_new(monotonic_us());
    Pager *pager = start_pager(source, stats);
    void *memory = mmap(NULL, N_PAGES * FAKE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const PagerRange range = {snapshot->blocks[0].name, (uintptr_t)memory,
                              snapshot->blocks[0].len_bytes};
    g_autoptr(GError) first = NULL;
    g_autoptr(GError) second = NULL;

    discard_rc = -EINVAL;
    assert_false(pager_attach(pager, &range, 1, NULL, 0, &first));
    assert_true(g_error_matches(first, PAGER_ERROR, PAGER_ERROR_RAM));
    discard_rc = 0;
    assert_false(pager_attach(pager, &range, 1, NULL, 0, &second));
    assert_true(g_error_matches(second, PAGER_ERROR, PAGER_ERROR_STATE));
    pager_free(pager);
    munmap(memory, N_PAGES * FAKE_PAGE_BYTES);
    load_stats_free(stats);
    fake_source_free(source);
    fake_snapshot_free(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_touched_while_memory_is_taken_over_are_right),
        cmocka_unit_test(after_an_attach_that_failed_there_is_no_other),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
