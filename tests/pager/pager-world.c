/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/kernel-features.h"
#include "plugin/pager/uffd.h"
#include "tests/pager/pager-world.h"
#include "util/clock.h"

#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static void on_failed(void *opaque, const PagerFailure *failure)
{
    World *world = opaque;

    pthread_mutex_lock(&world->lock);
    world->n_failed++;
    world->failure = *failure;
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

static void on_slow(void *opaque, const PagerSlowRead *slow)
{
    World *world = opaque;

    pthread_mutex_lock(&world->lock);
    if (world->n_slow++ == 0) {
        world->slow = *slow;
    }
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

static void on_pack_failed(void *opaque, const char *reason)
{
    World *world = opaque;

    (void)reason;
    pthread_mutex_lock(&world->lock);
    world->n_pack_failed++;
    pthread_mutex_unlock(&world->lock);
}

static void set_flag(World *world, bool *flag)
{
    pthread_mutex_lock(&world->lock);
    *flag = true;
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

static void on_observed(void *opaque)
{
    World *world = opaque;

    set_flag(world, &world->observed);
}

static void on_loaded(void *opaque)
{
    World *world = opaque;

    set_flag(world, &world->loaded);
}

static void await_count(World *world, const unsigned *count, unsigned n)
{
    pthread_mutex_lock(&world->lock);
    while (*count < n) {
        pthread_cond_wait(&world->changed, &world->lock);
    }
    pthread_mutex_unlock(&world->lock);
}

void world_await_failures(World *world, unsigned n)
{
    await_count(world, &world->n_failed, n);
}

void world_await_slow(World *world, unsigned n)
{
    await_count(world, &world->n_slow, n);
}

unsigned world_n_failures(World *world)
{
    pthread_mutex_lock(&world->lock);
    unsigned n = world->n_failed;
    pthread_mutex_unlock(&world->lock);
    return n;
}

unsigned world_n_pack_failures(World *world)
{
    pthread_mutex_lock(&world->lock);
    unsigned n = world->n_pack_failed;
    pthread_mutex_unlock(&world->lock);
    return n;
}

PagerFailure world_failure(World *world)
{
    pthread_mutex_lock(&world->lock);
    PagerFailure failure = world->failure;
    pthread_mutex_unlock(&world->lock);
    return failure;
}

PagerSlowRead world_slow(World *world)
{
    pthread_mutex_lock(&world->lock);
    PagerSlowRead slow = world->slow;
    pthread_mutex_unlock(&world->lock);
    return slow;
}

bool world_is_loaded(World *world)
{
    pthread_mutex_lock(&world->lock);
    bool is_loaded = world->loaded;
    pthread_mutex_unlock(&world->lock);
    return is_loaded;
}

#define MEMORY_BYTES (WORLD_N_PAGES * FAKE_PAGE_BYTES)
#define MAP_BYTES    (MEMORY_BYTES + WORLD_HUGE_BYTES)

static void map_memory(World *world, size_t block, bool unreserved)
{
    bool is_shared =
        world->kind == RAM_SHARED || world->kind == RAM_HUGETLB_SHARED;
    int flags = (is_shared ? MAP_SHARED : MAP_PRIVATE) |
                (ram_kind_is_hugetlb(world->kind) ? MAP_HUGETLB : 0) |
                (unreserved ? MAP_NORESERVE : 0);
    uint8_t *map = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE,
                        flags | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(map, MAP_FAILED);
    world->maps[block] = map;
    world->memory[block] =
        map + WORLD_HUGE_BYTES - (uintptr_t)map % WORLD_HUGE_BYTES;
    /* What was there before must not show through. */
    memset(world->memory[block], 0x55, MEMORY_BYTES);
}

static World *new_world(RamKind kind, unsigned share_of_8, bool unreserved)
{
    World *world = g_new0(World, 1);

    world->kind = kind;
    world->huge = HUGE_PLACING_NEVER;
    world->n_eager_threads = 2;
    world->snapshot =
        fake_snapshot_new(WORLD_N_BLOCKS, WORLD_N_PAGES, share_of_8, 7);
    world->source = fake_source_new(world->snapshot);
    world->stats = load_stats_new(monotonic_us());
    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->changed, NULL);
    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        map_memory(world, i, unreserved);
    }
    return world;
}

bool world_can_move_huge(void)
{
    UffdCaps caps;
    int fd;
    bool works = uffd_open(&fd, &caps) == 0;

    if (works) {
        close(fd);
        works = (caps & UFFD_CAN_MOVE) && kernel_feature_is_safe(KERNEL_MOVE) &&
                kernel_feature_is_safe(KERNEL_MOVE_HUGE);
    }
    if (!works) {
        printf("skipped: needs UFFDIO_MOVE of a kernel that can be trusted "
               "with it (docs/kernel.md)\n");
    }
    return works;
}

World *world_new(RamKind kind, unsigned share_of_8)
{
    return new_world(kind, share_of_8, false);
}

World *world_new_unreserved(RamKind kind, unsigned share_of_8)
{
    return new_world(kind, share_of_8, true);
}

void world_observe(World *world, ObserveKind kind)
{
    world->observe = (PagerObserve){
        .kind = kind,
        .touched = recorder_new(10000),
        .untouched = kind == OBSERVE_LEARNING ? recorder_new(10000) : NULL,
        .for_us = UINT64_C(3600) * 1000000,
    };
}

void world_start(World *world, LoadPolicy policy, const PageOrder *order)
{
    const PagerConfig config = {
        .source = fake_source_base(world->source),
        .order = order ? page_order_copy(order) : NULL,
        .pack = world->pack,
        .pack_always = world->pack_always,
        .policy = policy,
        .stats = world->stats,
        .observe = world->observe,
        .slow_read_us = world->slow_read_us,
        .rest = world->rest,
        .huge = world->huge,
        .max_lazy_bytes = world->max_lazy_bytes,
        .rest_patience_us = world->rest_patience_us,
        .rest_bytes_per_s = world->rest_bytes_per_s,
        .max_staged_bytes = UINT64_C(1) << 20,
        .n_fault_threads = 3,
        .n_eager_threads = world->n_eager_threads,
        .n_place_threads = 2,
        .callbacks = {on_failed, on_slow, on_observed, on_loaded,
                      on_pack_failed, world},
    };
    g_autoptr(GError) error = NULL;

    world->pager = pager_new(&config, &error);
    assert_non_null(world->pager);
}

bool world_try_attach(World *world, GError **error)
{
    PagerRange ranges[WORLD_N_BLOCKS];

    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        ranges[i].name = world->snapshot->blocks[i].name;
        ranges[i].host = (uintptr_t)world->memory[i];
        ranges[i].len_bytes = world->snapshot->blocks[i].len_bytes;
    }
    return pager_attach(world->pager, ranges, WORLD_N_BLOCKS, NULL, 0, error);
}

void world_attach(World *world)
{
    g_autoptr(GError) error = NULL;

    if (!world_try_attach(world, &error)) {
        fail_msg("%s", error->message);
    }
}

void world_await(World *world, LoadGoal goal)
{
    g_autoptr(GError) error = NULL;

    if (!pager_wait(world->pager, goal, &error)) {
        fail_msg("%s", error->message);
    }
}

void world_free(World *world)
{
    pager_free(world->pager);
    for (size_t i = 0; i < WORLD_N_BLOCKS; i++) {
        munmap(world->maps[i], MAP_BYTES);
    }
    load_stats_free(world->stats);
    recorder_free(world->observe.touched);
    recorder_free(world->observe.untouched);
    fake_source_free(world->source);
    fake_snapshot_free(world->snapshot);
    pthread_mutex_destroy(&world->lock);
    pthread_cond_destroy(&world->changed);
    g_free(world);
}

uint8_t *world_page(const World *world, size_t block, uint64_t page)
{
    return world->memory[block] + page * FAKE_PAGE_BYTES;
}

bool world_page_is_right(const World *world, size_t block, uint64_t page)
{
    return fake_page_is_right(world->snapshot, block, page,
                              world_page(world, block, page));
}

PageOrder *world_order(const World *world, size_t block, uint64_t first_page,
                       uint64_t n_pages)
{
    const RamImageBlock *layout = &world->snapshot->blocks[block];
    PageOrder *order = page_order_new();
    uint32_t index = page_order_add_block(order, layout->name,
                                          layout->len_bytes, FAKE_PAGE_BYTES);

    for (uint64_t i = 0; i < n_pages; i++) {
        const PageExtent extent = {
            .span = {index, first_page + n_pages - 1 - i, 1},
            .time_us = i * 10,
        };

        page_order_append(order, &extent);
    }
    return order;
}

void world_assert_all_right(const World *world)
{
    for (size_t block = 0; block < WORLD_N_BLOCKS; block++) {
        for (uint64_t page = 0; page < WORLD_N_PAGES; page++) {
            if (!world_page_is_right(world, block, page)) {
                fail_msg("block %zu page %" PRIu64 " is wrong", block, page);
            }
        }
    }
}

json_int_t world_stat(const World *world, const char *group, const char *name)
{
    json_t *stats = load_stats_to_json(world->stats, LOAD_POLICY_DEMAND,
                                       LOAD_STATE_LOADING);
    json_t *object = group ? json_object_get(stats, group) : stats;
    json_int_t value = json_integer_value(json_object_get(object, name));

    json_decref(stats);
    return value;
}

void world_await_state(const World *world, LoadState state)
{
    while (pager_state(world->pager) != state) {
        sched_yield();
    }
}

json_int_t world_n_placed(const World *world)
{
    return world_stat(world, "pages", "by-fault") +
           world_stat(world, "pages", "by-order") +
           world_stat(world, "pages", "by-rest");
}

static void *touch(void *opaque)
{
    PageToucher *toucher = opaque;

    toucher->right =
        world_page_is_right(toucher->world, toucher->block, toucher->page);
    return NULL;
}

void world_begin_touch(const World *world, PageToucher *toucher, size_t block,
                       uint64_t page)
{
    *toucher = (PageToucher){.world = world, .block = block, .page = page};
    assert_int_equal(pthread_create(&toucher->thread, NULL, touch, toucher), 0);
}

bool world_end_touch(PageToucher *toucher)
{
    pthread_join(toucher->thread, NULL);
    return toucher->right;
}

uint64_t world_address(const World *world, size_t block, uint64_t page)
{
    return (uintptr_t)world_page(world, block, page);
}

void world_await_all_but(const World *world, json_int_t n_missing)
{
    json_int_t n_in_file = world_stat(world, "pages", "in-file");

    while (world_n_placed(world) != n_in_file - n_missing ||
           world_stat(world, NULL, "failed-pages") != n_missing) {
        sched_yield();
    }
}

void world_assert_failed_at(World *world, size_t block, uint64_t page)
{
    assert_int_equal(world_failure(world).off_bytes,
                     world->snapshot->blocks[block].pages_off_bytes +
                         page * FAKE_PAGE_BYTES);
}
