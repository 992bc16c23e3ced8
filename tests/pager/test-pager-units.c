/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * RAM of reserved huge pages (hugetlb), of which whole ones only can be placed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin/pager/pager-plan.h"
#include "plugin/pager/pager-removal.h"
#include "plugin/pager/pager-state.h"
#include "tests/pager/pager-world.h"

#define N_UNITS (WORLD_N_PAGES / WORLD_HUGE_PAGES)

/* Only of the pages in [first, end) a world's snapshot has any. */
static void keep_only(World *world, size_t block, uint64_t first, uint64_t end)
{
    RamImageBlock *saved = &world->snapshot->blocks[block];
    PageSourceBlock *layout = &fake_source_base(world->source)->blocks[block];

    for (uint64_t page = 0; page < WORLD_N_PAGES; page++) {
        if ((page < first || page >= end) &&
            ram_image_block_has_page(saved, page)) {
            saved->bitmap[page / 64] &= ~(UINT64_C(1) << (page % 64));
            saved->n_pages_in_file--;
            layout->n_pages_in_file--;
        }
    }
}

static json_int_t n_in_file(const World *world)
{
    json_int_t n = 0;

    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        n += (json_int_t)world->snapshot->blocks[i].n_pages_in_file;
    }
    return n;
}

static void finish(World *world)
{
    world_await(world, LOAD_GOAL_ALL);
    pager_release(world->pager);
}

static bool is_resident(const World *world, size_t block, uint64_t unit)
{
    unsigned char resident;

    assert_int_equal(mincore(world_page(world, block, unit * WORLD_HUGE_PAGES),
                             FAKE_PAGE_BYTES, &resident),
                     0);
    return resident & 1;
}

static unsigned count_resident(const World *world)
{
    unsigned n = 0;

    for (size_t block = 0; block < WORLD_N_BLOCKS; block++) {
        for (uint64_t unit = 0; unit < N_UNITS; unit++) {
            n += is_resident(world, block, unit);
        }
    }
    return n;
}

/* ---- each test runs for private and for shared memory ---- */

static void a_touch_loads_the_huge_page_that_it_is_in(void **state)
{
    World *world = world_new(ram_kind_of(state), 3);

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    assert_true(world_page_is_right(world, 1, WORLD_HUGE_PAGES + 7));
    assert_int_equal(fake_source_n_reads(world->source), 1);
    const PageSpan read = fake_source_read_at(world->source, 0);
    assert_int_equal(read.block, 1);
    assert_int_equal(read.first_page, WORLD_HUGE_PAGES);
    assert_int_equal(read.n_pages, WORLD_HUGE_PAGES);
    assert_int_equal(count_resident(world), 1);
    world_assert_all_right(world);
    assert_int_equal(fake_source_n_reads(world->source),
                     WORLD_N_BLOCKS * N_UNITS);
    assert_int_equal(world_stat(world, "pages", "by-fault"), n_in_file(world));
    world_free(world);
}

static void all_of_it_is_loaded_and_counted_in_pages(void **state)
{
    World *world = world_new(ram_kind_of(state), 3);

    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    finish(world);
    world_assert_all_right(world);
    assert_int_equal(world_stat(world, "pages", "in-file"), n_in_file(world));
    assert_int_equal(world_n_placed(world), n_in_file(world));
    world_free(world);
}

/* Discarded, nothing is reserved for it any more. */
static void what_is_not_in_the_file_is_there_after_the_load_too(void **state)
{
    World *world = world_new(ram_kind_of(state), 3);

    keep_only(world, 0, 0, 0);
    keep_only(world, 1, WORLD_HUGE_PAGES, WORLD_HUGE_PAGES + 1);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    finish(world);
    assert_int_equal(count_resident(world), WORLD_N_BLOCKS * N_UNITS);
    world_assert_all_right(world);
    world_free(world);
}

static void what_is_not_in_the_file_takes_no_unreserved_page(void **state)
{
    World *world = world_new_unreserved(ram_kind_of(state), 8);

    keep_only(world, 0, 0, 0);
    keep_only(world, 1, WORLD_HUGE_PAGES + 1, WORLD_HUGE_PAGES + 2);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    finish(world);
    assert_int_equal(count_resident(world), 1);
    world_assert_all_right(world);
    world_free(world);
}

static void the_order_is_staged_in_pages_and_placed_in_huge_pages(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 1, 100, 1000);

    /* The rest stays away. */
    world->rest = LOAD_REST_DEMAND;
    world_start(world, LOAD_POLICY_ORDER, order);
    /* Something is staged by then. */
    while (fake_source_n_reads(world->source) == 0) {
        sched_yield();
    }
    world_attach(world);
    world_await(world, LOAD_GOAL_HOT);
    for (uint64_t unit = 0; unit < N_UNITS; unit++) {
        assert_int_equal(is_resident(world, 1, unit), unit < 3);
        assert_false(is_resident(world, 0, unit));
    }
    assert_int_equal(world_stat(world, "pages", "by-order"),
                     3 * WORLD_HUGE_PAGES);
    world_assert_all_right(world);
    world_free(world);
}

static void the_order_is_warmed_in_pages_and_placed_in_huge_pages(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 1, 100, 1000);

    world->rest = LOAD_REST_DEMAND;
    fake_source_let_warm(world->source);
    world_start(world, LOAD_POLICY_ORDER, order);
    fake_source_await_warmed(world->source, 200);
    world_attach(world);
    world_await(world, LOAD_GOAL_HOT);
    assert_int_equal(world_stat(world, "pages", "by-order"),
                     3 * WORLD_HUGE_PAGES);
    assert_in_range(fake_source_n_warmed(world->source), 200, 1000);
    world_assert_all_right(world);
    world_free(world);
}

/* While it is recorded, nobody reads ahead. */
static void what_is_left_of_an_order_is_counted_in_huge_pages(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 1, 100, 1000);
    uint64_t all_pages;
    uint64_t order_pages;

    world_observe(world, OBSERVE_RECORDING);
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    do {
        /* The order is being prepared. */
        pager_plan_count(world->pager, &all_pages, &order_pages);
    } while (order_pages == 0);
    assert_int_equal(all_pages, WORLD_N_BLOCKS * N_UNITS);
    assert_int_equal(order_pages, 3);
    world_free(world);
}

typedef struct Attacher {
    World *world;
    pthread_t thread;
} Attacher;

static void *attach(void *opaque)
{
    world_attach(((Attacher *)opaque)->world);
    return NULL;
}

static void what_is_being_staged_meanwhile_is_not_lost(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 1, 100, 1000);
    Attacher attacher = {.world = world};

    world->rest = LOAD_REST_DEMAND;
    fake_source_break(world->source, 1, 600);
    fake_source_shut(world->source, 2);
    world_observe(world, OBSERVE_LEARNING);
    world_start(world, LOAD_POLICY_ORDER, order);
    fake_source_await_waiting(world->source);
    assert_int_equal(pthread_create(&attacher.thread, NULL, attach, &attacher),
                     0);
    fake_source_open(world->source);
    pthread_join(attacher.thread, NULL);
    fake_source_mend(world->source);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_HOT);
    assert_int_equal(world_stat(world, "pages", "by-order"),
                     3 * WORLD_HUGE_PAGES);
    world_assert_all_right(world);
    world_free(world);
}

/* A storage that does not answer is no reason for the guest not to run. */
static void what_is_being_warmed_does_not_hold_up_the_attach(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(PageOrder) order = world_order(world, 1, 100, 1000);

    fake_source_let_warm(world->source);
    fake_source_shut(world->source, 2);
    world_start(world, LOAD_POLICY_ORDER, order);
    fake_source_await_waiting(world->source);
    world_attach(world);
    fake_source_open(world->source);
    finish(world);
    world_assert_all_right(world);
    world_free(world);
}

static void what_was_given_back_is_zero(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    pager_heed_removals(world->pager);
    /* One that was loaded, and one that was not. */
    assert_true(world_page_is_right(world, 0, WORLD_HUGE_PAGES));
    for (uint64_t unit = 1; unit <= 2; unit++) {
        uintptr_t at = (uintptr_t)world_page(world, 0, unit * WORLD_HUGE_PAGES);

        /* The second one's message is read after the first one's removal. */
        assert_int_equal(ram_range_discard(world->kind, at, WORLD_HUGE_BYTES),
                         0);
    }
    while (world_stat(world, "pages", "given-back") == 0) {
        ram_range_discard(world->kind,
                          (uintptr_t)world_page(world, 0, 2 * WORLD_HUGE_PAGES),
                          WORLD_HUGE_BYTES);
    }
    for (uint64_t i = 0; i < 2 * WORLD_HUGE_PAGES; i++) {
        assert_true(
            fake_page_is_zero(world_page(world, 0, WORLD_HUGE_PAGES + i)));
    }
    assert_int_equal(world_stat(world, "pages", "given-back"),
                     WORLD_HUGE_PAGES);
    assert_true(world_page_is_right(world, 0, WORLD_HUGE_PAGES - 1));
    assert_true(world_page_is_right(world, 0, 3 * WORLD_HUGE_PAGES));
    world_free(world);
}

/* The file that the memory at address is of, and where in it that is; -1: only
 * root may open it. */
static int open_file_of(const void *address, off_t *ret_off)
{
    unsigned long at = (uintptr_t)address;
    unsigned long start;
    unsigned long end;
    unsigned long off;
    g_autofree char *text = NULL;
    g_autofree char *path = NULL;

    assert_true(g_file_get_contents("/proc/self/maps", &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line && !path; line++) {
        if (sscanf(*line, "%lx-%lx %*s %lx", &start, &end, &off) == 3 &&
            start <= at && at < end) {
            path = g_strdup_printf("/proc/self/map_files/%lx-%lx", start, end);
            *ret_off = (off_t)(off + (at - start));
        }
    }
    assert_non_null(path);
    return open(path, O_RDWR | O_CLOEXEC);
}

/* As QEMU does it, of which the kernel does not tell. */
static bool punch_units(const World *world, size_t block, uint64_t unit,
                        uint64_t n_units)
{
    off_t off = 0;
    int fd =
        open_file_of(world_page(world, block, unit * WORLD_HUGE_PAGES), &off);

    if (fd < 0) {
        return false;
    }
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               off, (off_t)(n_units * WORLD_HUGE_BYTES)),
                     0);
    close(fd);
    return true;
}

/* What was loaded is zero then; what was not is as it was, which is what the
 * guest had there. */
static void what_was_punched_out_of_its_file_has_one_content(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    pager_heed_removals(world->pager);
    assert_true(world_page_is_right(world, 0, WORLD_HUGE_PAGES));
    if (!punch_units(world, 0, 1, 3)) {
        world_free(world);
        skip();
    }
    assert_true(world_page_is_right(world, 0, 2 * WORLD_HUGE_PAGES + 1));
    memset(world_page(world, 0, 2 * WORLD_HUGE_PAGES), 0x77, FAKE_PAGE_BYTES);
    pager_load_rest(world->pager);
    finish(world);
    assert_true(fake_page_is_zero(world_page(world, 0, WORLD_HUGE_PAGES)));
    assert_int_equal(*world_page(world, 0, 2 * WORLD_HUGE_PAGES), 0x77);
    for (uint64_t page = 2 * WORLD_HUGE_PAGES + 1; page < WORLD_N_PAGES;
         page++) {
        assert_true(world_page_is_right(world, 0, page));
    }
    world_free(world);
}

static void a_touch_is_recorded_as_one_of_all_pages_in_the_file(void **state)
{
    World *world = world_new(ram_kind_of(state), 3);
    const RamImageBlock *saved = &world->snapshot->blocks[1];
    uint64_t n_saved = 0;

    world_observe(world, OBSERVE_RECORDING);
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    for (uint64_t i = 0; i < WORLD_HUGE_PAGES; i++) {
        n_saved += ram_image_block_has_page(saved, WORLD_HUGE_PAGES + i);
    }
    assert_true(world_page_is_right(world, 1, WORLD_HUGE_PAGES + 7));
    pager_end_observation(world->pager);
    assert_int_equal(recorder_count(world->observe.touched), n_saved);
    world_free(world);
}

static void
a_read_error_leaves_the_huge_page_missing_until_it_is_mended(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    PageToucher toucher;

    fake_source_break(world->source, 0, WORLD_HUGE_PAGES + 9);
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    world_begin_touch(world, &toucher, 0, WORLD_HUGE_PAGES);
    world_await_failures(world, 1);
    assert_false(is_resident(world, 0, 1));
    assert_int_equal(world_failure(world).off_bytes,
                     world->snapshot->blocks[0].pages_off_bytes +
                         WORLD_HUGE_BYTES);
    fake_source_mend(world->source);
    pager_retry(world->pager);
    assert_true(world_end_touch(&toucher));
    world_free(world);
}

/* Take every free huge page. */
static void *take_all(uint64_t *ret_len)
{
    *ret_len = hugetlb_pool_n_free() * WORLD_HUGE_BYTES;
    void *taken =
        mmap(NULL, *ret_len, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);

    assert_ptr_not_equal(taken, MAP_FAILED);
    return taken;
}

/* Touch a page of block 0 while no huge page is free. */
static void touch_without_a_free_one(World *world, uint64_t page)
{
    PageToucher toucher;
    uint64_t len;

    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    void *taken = take_all(&len);
    world_begin_touch(world, &toucher, 0, page);
    world_await_failures(world, 1);
    assert_int_equal(world_failure(world).error, ENOMEM);
    assert_string_equal(world_failure(world).what, "placing");
    assert_non_null(strstr(world_failure(world).reason, "nr_hugepages"));
    munmap(taken, len);
    pager_retry(world->pager);
    assert_true(world_end_touch(&toucher));
    world_free(world);
}

static void without_a_free_huge_page_the_load_says_so_and_waits(void **state)
{
    touch_without_a_free_one(world_new_unreserved(ram_kind_of(state), 8), 3);
}

static void
without_a_free_one_for_zeroes_the_load_says_so_and_waits(void **state)
{
    World *world = world_new_unreserved(ram_kind_of(state), 8);

    keep_only(world, 0, 0, 0);
    touch_without_a_free_one(world, 3);
}

/* As QEMU maps a block whose length is not of whole huge pages. */
static void a_block_may_end_within_a_huge_page(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    const uint64_t n_cut = 100;

    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        RamImageBlock *saved = &world->snapshot->blocks[i];
        PageSourceBlock *layout = &fake_source_base(world->source)->blocks[i];

        keep_only(world, i, 0, WORLD_N_PAGES - n_cut);
        saved->n_pages = layout->n_pages -= n_cut;
        saved->len_bytes = layout->len_bytes -= n_cut * FAKE_PAGE_BYTES;
    }
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    finish(world);
    for (size_t i = 0; i < fake_source_n_reads(world->source); i++) {
        const PageSpan read = fake_source_read_at(world->source, i);

        assert_true(read.first_page + read.n_pages <= WORLD_N_PAGES - n_cut);
    }
    world_assert_all_right(world);
    world_free(world);
}

/* ---- huge pages that are too large to wait for ---- */

static void
too_large_ones_are_loaded_before_anybody_may_touch_them(void **state)
{
    World *world = world_new(ram_kind_of(state), 3);

    world->max_lazy_bytes = WORLD_HUGE_BYTES / 2;
    keep_only(world, 0, 5, 3 * WORLD_HUGE_PAGES);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    assert_int_equal(world_n_placed(world), n_in_file(world));
    assert_int_equal(count_resident(world), WORLD_N_BLOCKS * N_UNITS);
    world_assert_all_right(world);
    assert_int_equal(world_stat(world, NULL, "demand-faults"), 0);
    finish(world);
    world_assert_all_right(world);
    world_free(world);
}

static void too_large_ones_that_cannot_be_read_fail_the_attach(void **state)
{
    World *world = world_new(ram_kind_of(state), 8);
    g_autoptr(GError) error = NULL;

    world->max_lazy_bytes = WORLD_HUGE_BYTES / 2;
    fake_source_break(world->source, 1, 1000);
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    assert_false(world_try_attach(world, &error));
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_RAM));
    assert_non_null(strstr(error->message, "block1"));
    assert_non_null(strstr(error->message, "fake.snap"));
    assert_non_null(strstr(error->message, "start QEMU again"));
    world_free(world);
}

static void too_large_ones_that_are_not_there_fail_the_attach(void **state)
{
    World *world = world_new_unreserved(ram_kind_of(state), 8);
    g_autoptr(GError) error = NULL;
    uint64_t len;

    world->max_lazy_bytes = WORLD_HUGE_BYTES / 2;
    /* What the world has has to go, for the pool to be empty. */
    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        assert_int_equal(ram_range_discard(world->kind,
                                           (uintptr_t)world->memory[i],
                                           N_UNITS * WORLD_HUGE_BYTES),
                         0);
    }
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    void *taken = take_all(&len);
    assert_false(world_try_attach(world, &error));
    munmap(taken, len);
    assert_non_null(strstr(error->message, "getting a reserved huge page"));
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_HUGETLB(a_touch_loads_the_huge_page_that_it_is_in),
        FOR_BOTH_HUGETLB(all_of_it_is_loaded_and_counted_in_pages),
        FOR_BOTH_HUGETLB(what_is_not_in_the_file_is_there_after_the_load_too),
        FOR_BOTH_HUGETLB(what_is_not_in_the_file_takes_no_unreserved_page),
        FOR_BOTH_HUGETLB(the_order_is_staged_in_pages_and_placed_in_huge_pages),
        FOR_BOTH_HUGETLB(the_order_is_warmed_in_pages_and_placed_in_huge_pages),
        FOR_BOTH_HUGETLB(what_is_left_of_an_order_is_counted_in_huge_pages),
        FOR_BOTH_HUGETLB(what_is_being_staged_meanwhile_is_not_lost),
        FOR_BOTH_HUGETLB(what_is_being_warmed_does_not_hold_up_the_attach),
        FOR_BOTH_HUGETLB(what_was_given_back_is_zero),
        FOR_BOTH_HUGETLB(what_was_punched_out_of_its_file_has_one_content),
        FOR_BOTH_HUGETLB(a_touch_is_recorded_as_one_of_all_pages_in_the_file),
        FOR_BOTH_HUGETLB(
            a_read_error_leaves_the_huge_page_missing_until_it_is_mended),
        FOR_BOTH_HUGETLB(without_a_free_huge_page_the_load_says_so_and_waits),
        FOR_BOTH_HUGETLB(
            without_a_free_one_for_zeroes_the_load_says_so_and_waits),
        FOR_BOTH_HUGETLB(a_block_may_end_within_a_huge_page),
        FOR_BOTH_HUGETLB(
            too_large_ones_are_loaded_before_anybody_may_touch_them),
        FOR_BOTH_HUGETLB(too_large_ones_that_cannot_be_read_fail_the_attach),
        FOR_BOTH_HUGETLB(too_large_ones_that_are_not_there_fail_the_attach),
    };
    HugetlbPool pool;

    if (!have_userfaultfd(0) ||
        !hugetlb_pool_open(&pool, WORLD_HUGETLB_PAGES)) {
        return 77;
    }
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    hugetlb_pool_close(&pool);
    return rc;
}
