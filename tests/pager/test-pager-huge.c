/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rest in huge pages.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/mempolicy.h>

#include "plugin/pager/pager-removal.h"
#include "plugin/pager/pager-state.h"
#include "plugin/pager/piece.h"
#include "plugin/pager/resident.h"
#include "profiler/orders/read-ahead.h"
#include "tests/pager/pager-world.h"

#define N_HUGE (WORLD_N_BLOCKS * WORLD_N_PAGES / WORLD_HUGE_PAGES)

/* How moving fails: so many pages are moved before, with this error; 0: it does
 * not fail. */
static _Atomic int move_error;
static _Atomic uint64_t moved_before;
static _Atomic int n_failures;   /* after so many it works */
static _Atomic unsigned n_moved; /* huge pages, wholly */

int __real_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);
int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);

int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done)
{
    int error = atomic_load(&move_error);
    uint64_t before = atomic_load(&moved_before) * FAKE_PAGE_BYTES;

    if (error == 0 ||
        (len == WORLD_HUGE_BYTES && atomic_fetch_sub(&n_failures, 1) <= 0)) {
        int rc = __real_uffd_move(fd, dst, src, len, skip_holes, ret_done);

        atomic_fetch_add(&n_moved, rc == 0 && *ret_done == WORLD_HUGE_BYTES);
        return rc;
    }
    *ret_done = 0;
    if (before > 0 && len == WORLD_HUGE_BYTES) {
        int rc = __real_uffd_move(fd, dst, src, before, skip_holes, ret_done);

        return rc == 0 ? error : rc;
    }
    return error;
}

/* The clock stands at this; 0: it goes. */
static _Atomic uint64_t stopped_us;

uint64_t __real_monotonic_us(void);
uint64_t __wrap_monotonic_us(void);

uint64_t __wrap_monotonic_us(void)
{
    uint64_t at_us = atomic_load(&stopped_us);

    return at_us != 0 ? at_us : __real_monotonic_us();
}

/* One mapping in so many for a huge page fails; 0: none. */
static _Atomic unsigned maps_fail_one_in;

void *__real_mmap64(void *start, size_t len, int prot, int flags, int fd,
                    off_t off);
void *__wrap_mmap64(void *start, size_t len, int prot, int flags, int fd,
                    off_t off);

void *__wrap_mmap64(void *start, size_t len, int prot, int flags, int fd,
                    off_t off)
{
    static _Atomic unsigned n_maps;
    unsigned one_in = atomic_load(&maps_fail_one_in);

    if (one_in != 0 && len == 2 * WORLD_HUGE_BYTES &&
        atomic_fetch_add(&n_maps, 1) % one_in == 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(start, len, prot, flags, fd, off);
}

static World *huge_world(unsigned share_of_8)
{
    World *world = world_new(RAM_ANONYMOUS, share_of_8);

    atomic_store(&move_error, 0);
    atomic_store(&moved_before, 0);
    atomic_store(&n_failures, INT_MAX);
    atomic_store(&n_moved, 0);
    atomic_store(&maps_fail_one_in, 0);
    world->huge = HUGE_PLACING_ALWAYS;
    return world;
}

static void load(World *world)
{
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
}

static unsigned count_huge(const World *world)
{
    int pagemap = resident_open();
    unsigned n = 0;

    for (size_t block = 0; block < WORLD_N_BLOCKS; block++) {
        for (uint64_t page = 0; page < WORLD_N_PAGES;
             page += WORLD_HUGE_PAGES) {
            n += resident_is_huge(pagemap,
                                  (uintptr_t)world_page(world, block, page));
        }
    }
    close(pagemap);
    return n;
}

/* ---- the tests ---- */

static World *advised_world(void)
{
    World *world = huge_world(8);

    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        madvise(world->memory[i], WORLD_N_PAGES * FAKE_PAGE_BYTES,
                MADV_HUGEPAGE);
    }
    return world;
}

static void dense_memory_is_huge_after_a_load(void **state)
{
    World *world = advised_world();

    (void)state;
    load(world);
    assert_int_equal(atomic_load(&n_moved), N_HUGE);
    /* All but one or two, which the system may not have had just then. */
    assert_in_range(count_huge(world), N_HUGE - 2, N_HUGE);
    world_assert_all_right(world);
    world_free(world);
}

/* Load while the guest waits for its n_faults'th page, at every moment. */
static void load_in_faults(World *world, uint64_t n_faults)
{
    atomic_store(&stopped_us, __real_monotonic_us());
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    atomic_store(&world->pager->n_misses, n_faults);
    atomic_store(&world->pager->last_fault_us, atomic_load(&stopped_us));
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    atomic_store(&stopped_us, 0);
    world_assert_all_right(world);
}

static void no_huge_page_is_begun_while_many_pages_are_waited_for(void **state)
{
    World *world = advised_world();

    (void)state;
    load_in_faults(world, READ_AHEAD_BUSY_FAULTS);
    assert_int_equal(atomic_load(&n_moved), 0);
    world_free(world);
}

static void a_few_pages_that_are_waited_for_do_not_matter(void **state)
{
    World *world = advised_world();

    (void)state;
    load_in_faults(world, READ_AHEAD_BUSY_FAULTS - 1);
    assert_int_equal(atomic_load(&n_moved), N_HUGE);
    world_free(world);
}

/* Memory that was moved in small pages has small ones for good. */
static void a_failure_makes_no_later_page_small(void **state)
{
    World *world = advised_world();

    (void)state;
    atomic_store(&move_error, -EBUSY);
    atomic_store(&moved_before, 1);
    atomic_store(&n_failures, 4);
    load(world);
    assert_in_range(count_huge(world), N_HUGE - 4 - 2, N_HUGE - 1);
    world_assert_all_right(world);
    world_free(world);
}

static void what_is_not_in_the_file_is_zero_in_it(void **state)
{
    World *world = huge_world(6);

    (void)state;
    load(world);
    assert_int_equal(atomic_load(&n_moved), N_HUGE);
    world_assert_all_right(world);
    world_free(world);
}

static void sparse_memory_is_not_filled_up(void **state)
{
    World *world = huge_world(3);

    (void)state;
    load(world);
    assert_int_equal(atomic_load(&n_moved), 0);
    world_assert_all_right(world);
    world_free(world);
}

static void nothing_is_moved_where_it_is_not_wanted(void **state)
{
    World *world = huge_world(8);

    (void)state;
    world->huge = HUGE_PLACING_NEVER;
    load(world);
    assert_int_equal(atomic_load(&n_moved), 0);
    world_assert_all_right(world);
    world_free(world);
}

static void memory_that_is_not_aligned_is_copied(void **state)
{
    World *world = huge_world(8);

    (void)state;
    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        world->memory[i] -= FAKE_PAGE_BYTES;
    }
    load(world);
    assert_int_equal(atomic_load(&n_moved), 0);
    world_assert_all_right(world);
    world_free(world);
}

static void memory_that_is_bound_to_a_node_is_copied(void **state)
{
    World *world = huge_world(8);
    const unsigned long first_node = 1;

    (void)state;
    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        if (syscall(SYS_mbind, world->memory[i],
                    WORLD_N_PAGES * FAKE_PAGE_BYTES, MPOL_BIND, &first_node,
                    8 * sizeof first_node, 0) != 0) {
            print_message("skipped: memory cannot be bound here\n");
            world_free(world);
            skip();
        }
    }
    load(world);
    assert_int_equal(atomic_load(&n_moved), 0);
    world_assert_all_right(world);
    world_free(world);
}

/* The order's may be wanted by the next load, as what a fault has asked for. */
static void only_the_rest_is_read_once(void **state)
{
    World *world = huge_world(8);
    g_autoptr(PageOrder) order =
        world_order(world, 0, WORLD_HUGE_PAGES, WORLD_HUGE_PAGES / 2);
    size_t n_once = 0;

    (void)state;
    world->rest = LOAD_REST_EAGER;
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    for (size_t i = 0; i < fake_source_n_reads(world->source); i++) {
        PageSpan span = fake_source_read_at(world->source, i);
        bool in_order =
            span.block == 0 && span.first_page >= WORLD_HUGE_PAGES &&
            span.first_page < WORLD_HUGE_PAGES + WORLD_HUGE_PAGES / 2;

        assert_int_equal(fake_source_is_once_at(world->source, i), !in_order);
        n_once += !in_order;
    }
    assert_int_equal(atomic_load(&n_moved), N_HUGE - 1);
    assert_in_range(n_once, N_HUGE - 1, SIZE_MAX);
    world_assert_all_right(world);
    world_free(world);
}

static void a_stretch_with_a_touched_page_is_copied(void **state)
{
    World *world = huge_world(8);

    (void)state;
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    /* Its first one: what is left ends where the next stretch begins. */
    assert_true(world_page_is_right(world, 0, 3 * WORLD_HUGE_PAGES));
    pager_load_rest(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(atomic_load(&n_moved), N_HUGE - 1);
    world_assert_all_right(world);
    world_free(world);
}

/* A page below n_pages that is not in the file. */
static uint64_t zero_page(const World *world, size_t block, uint64_t from)
{
    while (ram_image_block_has_page(&world->snapshot->blocks[block], from)) {
        from++;
    }
    return from;
}

static void what_the_guest_wrote_to_a_zero_page_stays(void **state)
{
    World *world = huge_world(6);
    uint64_t first = zero_page(world, 0, 0);
    uint64_t other = zero_page(world, 1, 5 * WORLD_HUGE_PAGES + 300);

    (void)state;
    world_start(world, LOAD_POLICY_DEMAND, NULL);
    world_attach(world);
    memset(world_page(world, 0, first), 0x77, FAKE_PAGE_BYTES);
    memset(world_page(world, 1, other), 0x77, FAKE_PAGE_BYTES);
    pager_load_rest(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(*world_page(world, 0, first), 0x77);
    assert_int_equal(*world_page(world, 1, other), 0x77);
    assert_int_equal(atomic_load(&n_moved), N_HUGE - 2);
    /* As it would be without the writes. */
    memset(world_page(world, 0, first), 0, FAKE_PAGE_BYTES);
    memset(world_page(world, 1, other), 0, FAKE_PAGE_BYTES);
    world_assert_all_right(world);
    world_free(world);
}

/* Begin a load, until huge pages are being read and do not come. */
static void start_shut(World *world)
{
    fake_source_shut(world->source, WORLD_HUGE_PAGES / 2);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    fake_source_await_waiting(world->source);
}

static void a_page_in_flight_is_not_waited_for(void **state)
{
    World *world = huge_world(8);
    PageToucher toucher;

    (void)state;
    start_shut(world);
    world_begin_touch(world, &toucher, 0, 5);
    assert_true(world_end_touch(&toucher));
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_ALL);
    assert_in_range(atomic_load(&n_moved), 1, N_HUGE - 1);
    world_assert_all_right(world);
    world_free(world);
}

static void a_page_given_back_in_flight_is_zero(void **state)
{
    World *world = huge_world(8);
    uint8_t *page = world_page(world, 0, 5);

    (void)state;
    start_shut(world);
    pager_heed_removals(world->pager);
    /* Whoever gives back goes on before it has been dealt with. */
    while (world_stat(world, "pages", "given-back") == 0) {
        assert_int_equal(
            ram_range_discard(RAM_ANONYMOUS, (uintptr_t)page, FAKE_PAGE_BYTES),
            0);
    }
    fake_source_open(world->source);
    world_await(world, LOAD_GOAL_ALL);
    assert_true(fake_page_is_zero(page));
    assert_true(world_page_is_right(world, 0, 4));
    assert_true(world_page_is_right(world, 0, 6));
    world_free(world);
}

static void what_cannot_be_moved_is_copied(void **state)
{
    static const int errors[] = {-EBUSY, -ENOMEM, -EINVAL, UFFD_EXISTS};
    static const uint64_t pages_before[] = {0, 1, 200};

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(pages_before); j++) {
            World *world = huge_world(6);

            atomic_store(&move_error, errors[i]);
            atomic_store(&moved_before, pages_before[j]);
            load(world);
            world_assert_all_right(world);
            world_free(world);
        }
    }
}

static void a_page_that_cannot_be_read_holds_up_no_other(void **state)
{
    World *world = huge_world(6);
    uint64_t page = 2 * WORLD_HUGE_PAGES + 11;

    (void)state;
    while (!ram_image_block_has_page(&world->snapshot->blocks[0], page)) {
        page++;
    }
    fake_source_break(world->source, 0, page);
    world_start(world, LOAD_POLICY_SEQUENTIAL, NULL);
    world_attach(world);
    world_await_failures(world, 1);
    for (uint64_t i = 0; i < WORLD_HUGE_PAGES; i++) {
        assert_true(i + 2 * WORLD_HUGE_PAGES == page ||
                    world_page_is_right(world, 0, 2 * WORLD_HUGE_PAGES + i));
    }
    fake_source_mend(world->source);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    assert_int_equal(atomic_load(&n_moved), N_HUGE - 1);
    world_assert_all_right(world);
    world_free(world);
}

static void without_memory_for_huge_pages_all_is_loaded(void **state)
{
    (void)state;
    for (unsigned one_in = 1; one_in <= 3; one_in++) {
        World *world = huge_world(7);

        atomic_store(&maps_fail_one_in, one_in);
        load(world);
        assert_true(one_in > 1 || atomic_load(&n_moved) == 0);
        world_assert_all_right(world);
        world_free(world);
    }
}

/* It has all of one, and its second half first. */
static void without_memory_for_huge_pages_an_order_is_loaded(void **state)
{
    const uint64_t half_pages = WORLD_HUGE_PAGES / 2;
    World *world = huge_world(8);
    g_autoptr(PageOrder) order = world_order(world, 0, 0, 0);
    const PageExtent second = {.span = {0, half_pages, half_pages}};
    const PageExtent first = {
        .span = {0, 0, half_pages},
        .time_us = UINT64_C(1000000),
    };
    json_int_t n_faults;

    (void)state;
    page_order_append(order, &second);
    page_order_append(order, &first);
    fake_source_let_warm(world->source);
    atomic_store(&maps_fail_one_in, 1);
    world->rest = LOAD_REST_DEMAND;
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    world_await(world, LOAD_GOAL_HOT);
    n_faults = world_stat(world, NULL, "demand-faults");
    for (uint64_t i = 0; i < WORLD_HUGE_PAGES; i++) {
        assert_true(world_page_is_right(world, 0, i));
    }
    assert_int_equal(world_stat(world, NULL, "demand-faults"), n_faults);
    assert_int_equal(atomic_load(&n_moved), 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_memory_is_huge_after_a_load),
        cmocka_unit_test(no_huge_page_is_begun_while_many_pages_are_waited_for),
        cmocka_unit_test(a_few_pages_that_are_waited_for_do_not_matter),
        cmocka_unit_test(a_failure_makes_no_later_page_small),
        cmocka_unit_test(what_is_not_in_the_file_is_zero_in_it),
        cmocka_unit_test(sparse_memory_is_not_filled_up),
        cmocka_unit_test(nothing_is_moved_where_it_is_not_wanted),
        cmocka_unit_test(memory_that_is_not_aligned_is_copied),
        cmocka_unit_test(memory_that_is_bound_to_a_node_is_copied),
        cmocka_unit_test(only_the_rest_is_read_once),
        cmocka_unit_test(a_stretch_with_a_touched_page_is_copied),
        cmocka_unit_test(what_the_guest_wrote_to_a_zero_page_stays),
        cmocka_unit_test(a_page_in_flight_is_not_waited_for),
        cmocka_unit_test(a_page_given_back_in_flight_is_zero),
        cmocka_unit_test(what_cannot_be_moved_is_copied),
        cmocka_unit_test(a_page_that_cannot_be_read_holds_up_no_other),
        cmocka_unit_test(without_memory_for_huge_pages_all_is_loaded),
        cmocka_unit_test(without_memory_for_huge_pages_an_order_is_loaded),
    };

    if (!world_can_move_huge()) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
