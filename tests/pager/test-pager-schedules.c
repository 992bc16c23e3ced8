/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pager under random schedules: threads that touch and discard pages as
 * they please while it loads, from a source that fails now and then or is
 * asynchronous, into memory that cannot always be had, in huge pages or small
 * ones, by an order that is doubted now and then.  PREHEAT_TEST_ROUNDS=N in the
 * environment runs as many schedules of each policy.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/pack-writer.h"
#include "formats/pack.h"
#include "plugin/pager/order-guard.h"
#include "plugin/pager/pager-removal.h"
#include "plugin/pager/uffd.h"
#include "tests/pager/pager-world.h"
#include "util/clock.h"

/* Between any two looks at the clock 2 ms go by, as for threads that are held
 * up everywhere.  (The linker's --wrap puts this between.) */
uint64_t __real_monotonic_us(void);
uint64_t __wrap_monotonic_us(void);

uint64_t __wrap_monotonic_us(void)
{
    static _Atomic uint64_t held_up_us;

    return __real_monotonic_us() + atomic_fetch_add(&held_up_us, 2000);
}

/* One in so many pages cannot be placed when that is tried; 0: all can. */
static _Atomic unsigned misplace_one_in;

int __real_uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
                     uint64_t *ret_done);
int __wrap_uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
                     uint64_t *ret_done);

int __wrap_uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
                     uint64_t *ret_done)
{
    static _Atomic unsigned n_copies;
    unsigned one_in = atomic_load(&misplace_one_in);

    if (one_in == 0 || atomic_fetch_add(&n_copies, 1) % one_in != 0) {
        return __real_uffd_copy(fd, dst, src, len, ret_done);
    }
    *ret_done = 0;
    if (len > FAKE_PAGE_BYTES) {
        int rc = __real_uffd_copy(fd, dst, src, FAKE_PAGE_BYTES, ret_done);

        if (rc != 0) {
            return rc;
        }
    }
    return -ENOMEM;
}

int __real_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);
int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);

static _Atomic unsigned n_moves;

/* Where copying fails now and then, so does moving: before anything is moved,
 * or in the middle. */
int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done)
{
    unsigned nth = atomic_fetch_add(&n_moves, 1);

    if (atomic_load(&misplace_one_in) == 0 || nth % 3 == 0) {
        return __real_uffd_move(fd, dst, src, len, skip_holes, ret_done);
    }
    *ret_done = 0;
    if (nth % 3 == 1) {
        return nth % 2 == 0 ? -EBUSY : -ENOMEM;
    }
    int rc = __real_uffd_move(fd, dst, src, 100 * FAKE_PAGE_BYTES, skip_holes,
                              ret_done);
    return rc != 0 ? rc : -ENOMEM;
}

/* Each look at an order that is followed begins a trial, of some pages; and one
 * trial in eight ends the order.  (Their caller has the pager's lock.) */
bool __wrap_order_guard_is_due(const OrderGuard *guard, uint64_t now_us,
                               uint64_t n_misses);
void __wrap_order_guard_look(OrderGuard *guard, const OrderGuardView *view,
                             bool can_try);

bool __wrap_order_guard_is_due(const OrderGuard *guard, uint64_t now_us,
                               uint64_t n_misses)
{
    static unsigned n_asked;

    (void)now_us;
    (void)n_misses;
    switch (guard->state) {
    case ORDER_GUARD_WATCHING:
        return n_asked++ % 2 == 0;
    case ORDER_GUARD_TRYING:
        return guard->tried_pages >= 100;
    case ORDER_GUARD_ABANDONED:
        return false;
    case ORDER_GUARD_NEW:
    case ORDER_GUARD_TO_TRY:
        break;
    }
    return true;
}

void __wrap_order_guard_look(OrderGuard *guard, const OrderGuardView *view,
                             bool can_try)
{
    static unsigned n_trials;

    (void)view;
    (void)can_try;
    switch (guard->state) {
    case ORDER_GUARD_NEW:
        guard->state = ORDER_GUARD_WATCHING;
        break;
    case ORDER_GUARD_WATCHING:
        guard->state = ORDER_GUARD_TO_TRY;
        break;
    case ORDER_GUARD_TO_TRY:
        guard->tried_pages = 0;
        guard->state = ORDER_GUARD_TRYING;
        break;
    case ORDER_GUARD_TRYING:
        guard->state =
            n_trials++ % 8 == 7 ? ORDER_GUARD_ABANDONED : ORDER_GUARD_WATCHING;
        break;
    case ORDER_GUARD_ABANDONED:
        break;
    }
}

/* What has happened to a page, as a set. */
enum {
    DISCARDED = 1,  /* once it had been placed: it is zero */
    GIVEN_BACK = 2, /* maybe before: it is zero, or the snapshot's */
    WAS_ZERO = 4,   /* somebody has found it so, and it was given back */
    WRITTEN = 8,    /* somebody has written own_word() to it */
};

/* The guest writes to some pages, and does not discard these. */
static bool is_own(uint64_t page)
{
    return page % 8 == 3;
}

/* Where, and what, it writes. */
static uint64_t own_off_bytes(uint64_t page)
{
    return page % 512 * 8;
}

static uint64_t own_word(size_t block, uint64_t page)
{
    return ~fake_word(block, page, own_off_bytes(page));
}

/* What one page of the guest may be: its snapshot's bytes, or zeroes once
 * somebody has discarded it; never the one again after the other. */
typedef struct Storm {
    World *world;
    unsigned seed;
    _Atomic unsigned char *fates; /* by block * WORLD_N_PAGES + page */
    _Atomic unsigned *n_wrong;
} Storm;

static _Atomic unsigned char *fate_of(Storm *storm, size_t block, uint64_t page)
{
    return &storm->fates[block * WORLD_N_PAGES + page];
}

static void check_touch(Storm *storm, size_t block, uint64_t page,
                        unsigned draw)
{
    World *world = storm->world;
    _Atomic unsigned char *fate = fate_of(storm, block, page);
    uint64_t at = (draw % 512) * 8;
    bool was_zero = atomic_load(fate) & WAS_ZERO;
    /* As the guest's vCPUs see it: one aligned word, other threads may be
     * discarding the page. */
    uint64_t word = __atomic_load_n(
        (uint64_t *)(void *)(world_page(world, block, page) + at),
        __ATOMIC_SEQ_CST);
    bool in_file =
        ram_image_block_has_page(&world->snapshot->blocks[block], page);
    uint64_t expected = in_file ? fake_word(block, page, at) : 0;

    if (in_file && word == 0 && atomic_load(fate) != 0) {
        atomic_fetch_or(fate, WAS_ZERO);
    } else if (word != expected || (in_file && was_zero)) {
        atomic_fetch_add(storm->n_wrong, 1);
    }
}

static uint64_t *word_at(const Storm *storm, size_t block, uint64_t page,
                         uint64_t off_bytes)
{
    return (uint64_t *)(void *)(world_page(storm->world, block, page) +
                                off_bytes);
}

/* Write to a page that is never discarded, or see that what was written is
 * there. */
static void write_or_check(Storm *storm, size_t block, uint64_t page)
{
    uint64_t *word = word_at(storm, block, page, own_off_bytes(page));
    _Atomic unsigned char *fate = fate_of(storm, block, page);

    if (!(atomic_load(fate) & WRITTEN)) {
        __atomic_store_n(word, own_word(block, page), __ATOMIC_SEQ_CST);
        atomic_fetch_or(fate, WRITTEN);
    } else if (__atomic_load_n(word, __ATOMIC_SEQ_CST) !=
               own_word(block, page)) {
        atomic_fetch_add(storm->n_wrong, 1);
    }
}

/* A page; or all of the huge page that it is in, where only that can be. */
static void discard(Storm *storm, size_t block, uint64_t page,
                    unsigned char fate)
{
    bool is_hugetlb = ram_kind_is_hugetlb(storm->world->kind);
    uint64_t n_pages = is_hugetlb ? WORLD_HUGE_PAGES : 1;

    page -= page % n_pages;
    for (uint64_t i = 0; i < n_pages; i++) {
        atomic_fetch_or(fate_of(storm, block, page + i), fate);
    }
    ram_range_discard(storm->world->kind,
                      (uintptr_t)world_page(storm->world, block, page),
                      n_pages * FAKE_PAGE_BYTES);
}

/* Discard a page only once it has been placed, as a guest does that gives
 * back what it owned; then it must be zero. */
static void touch_and_discard(Storm *storm, size_t block, uint64_t page)
{
    check_touch(storm, block, page, 0);
    discard(storm, block, page, DISCARDED);
    if (!fake_page_is_zero(world_page(storm->world, block, page))) {
        atomic_fetch_add(storm->n_wrong, 1);
    }
}

/* As a guest does that gives back what it has never looked at. */
static void give_back(Storm *storm, size_t block, uint64_t page)
{
    discard(storm, block, page, GIVEN_BACK);
    check_touch(storm, block, page, 0);
}

static void *storm_thread(void *opaque)
{
    Storm *storm = opaque;

    for (unsigned i = 0; i < 6000; i++) {
        unsigned draw = (unsigned)rand_r(&storm->seed);
        size_t block = draw % WORLD_N_BLOCKS;
        uint64_t page = (unsigned)rand_r(&storm->seed) %
                        storm->world->snapshot->blocks[block].n_pages;

        if (is_own(page) && !ram_kind_is_hugetlb(storm->world->kind)) {
            write_or_check(storm, block, page);
        } else if (draw % 16 == 0) {
            touch_and_discard(storm, block, page);
        } else if (draw % 16 == 1) {
            give_back(storm, block, page);
        } else {
            check_touch(storm, block, page, draw / 16);
        }
    }
    return NULL;
}

/* Who looks after the storage: says again and again that it works, which in
 * the end is true. */
typedef struct Mender {
    World *world;
    unsigned end_observation_at; /* after so many turns */
    unsigned load_rest_at;
    _Atomic bool quit;
    pthread_t thread;
} Mender;

#define N_VAIN_RETRIES 300

static void *mender_thread(void *opaque)
{
    Mender *mender = opaque;

    for (unsigned i = 0; !atomic_load(&mender->quit); i++) {
        if (i == N_VAIN_RETRIES) {
            fake_source_mend(mender->world->source);
            atomic_store(&misplace_one_in, 0);
        }
        if (i == mender->end_observation_at) {
            pager_end_observation(mender->world->pager);
        }
        if (i == mender->load_rest_at) {
            pager_load_rest(mender->world->pager);
        }
        pager_retry(mender->world->pager);
        sched_yield();
    }
    return NULL;
}

/* By seed: nothing, single pages, or now and then any read or copy. */
static void let_fail(World *world, unsigned seed)
{
    if (seed % 4 >= 2) {
        for (unsigned i = 0; i < 20; i++) {
            fake_source_break(world->source, i % WORLD_N_BLOCKS,
                              (seed * 131 + i * i * 17) % WORLD_N_PAGES);
        }
    }
    if (seed % 4 >= 1) {
        fake_source_break_first_of(world->source, 3 + seed % 7 * 20);
        atomic_store(&misplace_one_in, 5 + seed % 11);
    }
    if (seed % 3 == 0) {
        fake_source_make_asynchronous(world->source);
    }
}

#define N_STORM_THREADS 4

/* Huge pages that somebody has given back a moment ago, or has got in vain. */
#define N_IN_TRANSIT 16

static bool is_right_at_last(const Storm *storm, size_t block, uint64_t page)
{
    unsigned char fate =
        atomic_load(&storm->fates[block * WORLD_N_PAGES + page]);
    if (fate & WRITTEN) {
        uint64_t off_bytes = own_off_bytes(page);
        uint64_t *word = word_at(storm, block, page, off_bytes);
        bool in_file = ram_image_block_has_page(
            &storm->world->snapshot->blocks[block], page);

        if (*word != own_word(block, page)) {
            return false;
        }
        *word = in_file ? fake_word(block, page, off_bytes) : 0;
        fate &= (unsigned char)~WRITTEN;
    }
    bool is_zero = fake_page_is_zero(world_page(storm->world, block, page));
    bool is_right = world_page_is_right(storm->world, block, page);

    return fate & (DISCARDED | WAS_ZERO) ? is_zero
           : fate & GIVEN_BACK           ? is_zero || is_right
                                         : is_right;
}

/* The block ends within a word of its bitmap, and within a huge page. */
static void cut_block(World *world, size_t i, uint64_t n_pages)
{
    RamImageBlock *block = &world->snapshot->blocks[i];
    PageSourceBlock *in_source = &fake_source_base(world->source)->blocks[i];

    for (uint64_t page = n_pages; page < block->n_pages; page++) {
        if (ram_image_block_has_page(block, page)) {
            block->bitmap[page / 64] &= ~(UINT64_C(1) << (page % 64));
            block->n_pages_in_file--;
        }
    }
    block->n_pages = in_source->n_pages = n_pages;
    block->len_bytes = in_source->len_bytes = n_pages * FAKE_PAGE_BYTES;
    in_source->n_pages_in_file = block->n_pages_in_file;
}

/* A pack with pages of both blocks in each chunk. */
static int write_pack(const RamImage *image)
{
    const uint64_t chunk_pages = PACK_CHUNK_BYTES / FAKE_PAGE_BYTES;
    int fd = memfd_create("pack", MFD_CLOEXEC);
    PackWriter *writer = pack_writer_new(fd, image);
    g_autofree uint64_t *words = g_malloc(PACK_CHUNK_BYTES);
    g_autofree PageSpan *spans = g_new(PageSpan, chunk_pages);
    size_t n = 0;

    for (uint64_t i = 0; i < 2 * 1500; i++) {
        size_t block = i % 2;
        uint64_t page = 200 + i / 2;

        if (!ram_image_block_has_page(&image->blocks[block], page)) {
            continue;
        }
        for (uint64_t at = 0; at < FAKE_PAGE_BYTES; at += 8) {
            words[n * FAKE_PAGE_BYTES / 8 + at / 8] =
                fake_word(block, page, at);
        }
        spans[n++] = (PageSpan){block, page, 1};
        if (n == chunk_pages) {
            assert_true(pack_writer_add(writer, spans, n, words,
                                        n * FAKE_PAGE_BYTES, NULL));
            n = 0;
        }
    }
    assert_true(pack_writer_finish(writer, NULL));
    pack_writer_free(writer);
    return fd;
}

static Pack *make_pack(RamImage *image)
{
    image->identity = g_strnfill(64, 'a');
    int fd = write_pack(image);
    Pack *pack =
        pack_open(byte_source_new_fd(fd, "fake.pack", NULL), image, NULL);

    close(fd);
    assert_non_null(pack);
    return pack;
}

static void run_storm(RamKind kind, LoadPolicy policy, unsigned seed)
{
    World *world = world_new(kind, 1 + seed % 8);
    Pack *pack = NULL;
    g_autoptr(PageOrder) order =
        world_order(world, seed % WORLD_N_BLOCKS, seed * 97 % 2000, 1500);
    g_autofree _Atomic unsigned char *fates =
        (_Atomic unsigned char *)g_malloc0(WORLD_N_BLOCKS * WORLD_N_PAGES);
    _Atomic unsigned n_wrong = 0;
    pthread_t threads[N_STORM_THREADS];
    Storm storms[N_STORM_THREADS];
    Mender mender = {.world = world};

    if (seed % 3 != 0) {
        cut_block(world, seed % 2, WORLD_N_PAGES - 13 - seed % 600);
    }
    if (seed % 4 == 1) {
        pack = make_pack(world->snapshot);
        world->pack = pack;
        world->pack_always = seed % 8 == 1;
    } else if (seed % 4 == 3) {
        fake_source_let_warm(world->source);
    }
    if (policy == LOAD_POLICY_ORDER && seed % 5 == 2) {
        world_observe(world, OBSERVE_LEARNING);
    } else if (policy != LOAD_POLICY_SEQUENTIAL && seed % 5 == 4) {
        world_observe(world, OBSERVE_RECORDING);
    }
    mender.end_observation_at = seed * 7 % 50 + 1;
    mender.load_rest_at = seed % 6 == 5 ? seed * 11 % 70 + 1 : UINT_MAX;
    let_fail(world, seed);
    world->huge = seed % 4 == 0 ? HUGE_PLACING_NEVER : HUGE_PLACING_ALWAYS;
    world_start(world, policy, order);
    world_attach(world);
    pager_release_rest(world->pager);
    if (seed % 2 == 1) {
        pager_heed_removals(world->pager);
    }
    assert_int_equal(
        pthread_create(&mender.thread, NULL, mender_thread, &mender), 0);
    for (unsigned i = 0; i < N_STORM_THREADS; i++) {
        storms[i] = (Storm){world, seed * 31 + i, fates, &n_wrong};
        assert_int_equal(
            pthread_create(&threads[i], NULL, storm_thread, &storms[i]), 0);
    }
    for (unsigned i = 0; i < N_STORM_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    if (policy != LOAD_POLICY_DEMAND) {
        world_await(world, LOAD_GOAL_ALL);
    }
    for (size_t block = 0; block < WORLD_N_BLOCKS; block++) {
        for (uint64_t page = 0; page < world->snapshot->blocks[block].n_pages;
             page++) {
            n_wrong += !is_right_at_last(&storms[0], block, page);
        }
    }
    atomic_store(&mender.quit, true);
    pthread_join(mender.thread, NULL);
    assert_int_equal(n_wrong, 0);
    g_clear_pointer(&world->snapshot->identity, g_free);
    world_free(world);
    pack_free(pack);
}

static void every_byte_is_right_under_random_schedules(void **state)
{
    static const LoadPolicy policies[] = {
        LOAD_POLICY_ORDER, LOAD_POLICY_SEQUENTIAL, LOAD_POLICY_DEMAND};
    const char *rounds = getenv("PREHEAT_TEST_ROUNDS");
    unsigned n_rounds = rounds ? (unsigned)atoi(rounds) : 8;

    for (unsigned seed = 1; seed <= n_rounds; seed++) {
        for (size_t i = 0; i < G_N_ELEMENTS(policies); i++) {
            run_storm(ram_kind_of(state), policies[i], seed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH_KINDS(every_byte_is_right_under_random_schedules),
    };

    const struct CMUnitTest hugetlb_tests[] = {
        FOR_BOTH_HUGETLB(every_byte_is_right_under_random_schedules),
    };
    HugetlbPool pool;

    if (!have_userfaultfd(0)) {
        return 77;
    }
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    if (hugetlb_pool_open(&pool, WORLD_HUGETLB_PAGES + N_IN_TRANSIT)) {
        rc += cmocka_run_group_tests(hugetlb_tests, NULL, NULL);
        hugetlb_pool_close(&pool);
    }
    return rc;
}
