/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/pager/profile-world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "util/clock.h"

#define HUGE_BYTES (UINT64_C(2) << 20)

uint64_t *world_word(const World *world, uint64_t page, unsigned index)
{
    return (uint64_t *)(void *)(world->memory + page * PAGE_BYTES) + index;
}

/* Private memory may be more than this machine has. */
static uint8_t *map_aligned(RamKind kind, uint64_t len_bytes)
{
    int flags = MAP_ANONYMOUS |
                (kind == RAM_SHARED ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE);
    uint8_t *map = mmap(NULL, len_bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
                        flags, -1, 0);

    assert_ptr_not_equal(map, MAP_FAILED);
    uint64_t before = -(uintptr_t)map & (HUGE_BYTES - 1);
    munmap(map, before);
    munmap(map + before + len_bytes, HUGE_BYTES - before);
    return map + before;
}

World *world_new_empty(RamKind kind, uint64_t n_pages)
{
    World *world = g_new0(World, 1);

    world->kind = kind;
    world->len_bytes = n_pages * PAGE_BYTES;
    world->memory = map_aligned(kind, world->len_bytes);
    world->recorder = recorder_new(1 << 20);
    world->stats = load_stats_new(monotonic_us());
    return world;
}

void world_fill(World *world)
{
    for (uint64_t page = 0; page < world->len_bytes / PAGE_BYTES; page++) {
        *world_word(world, page, 511) = page + 1;
    }
}

World *world_new(void **state)
{
    World *world = world_new_empty(ram_kind_of(state), N_PAGES);

    world_fill(world);
    return world;
}

void world_free(World *world)
{
    munmap(world->memory, world->len_bytes);
    recorder_free(world->recorder);
    load_stats_free(world->stats);
    g_free(world);
}

GError *world_try_open(World *world)
{
    const PagerRange range = {"ram", (uintptr_t)world->memory,
                              world->len_bytes};
    GError *error = NULL;

    world->window =
        profile_window_open(&range, 1, world->recorder, world->stats, &error);
    return error;
}

void world_open(World *world)
{
    GError *error = world_try_open(world);

    if (error) {
        fail_msg("%s", error->message);
    }
}

void world_close(World *world)
{
    profile_window_close(world->window, &world->cost);
}

void world_assert_right(const World *world)
{
    for (uint64_t page = 0; page < world->len_bytes / PAGE_BYTES; page++) {
        assert_int_equal(*world_word(world, page, 511), page + 1);
    }
}

void world_give_back(const World *world, uint64_t page, uint64_t n)
{
    assert_int_equal(
        ram_range_discard(world->kind,
                          (uintptr_t)world->memory + page * PAGE_BYTES,
                          n * PAGE_BYTES),
        0);
}

static uint64_t private_bytes(void)
{
    g_autofree char *text = NULL;

    assert_true(
        g_file_get_contents("/proc/self/smaps_rollup", &text, NULL, NULL));
    const char *rss = strstr(text, "\nRss:");
    assert_non_null(rss);
    return g_ascii_strtoull(rss + strlen("\nRss:"), NULL, 10) << 10;
}

/* What the page cache has of it, mapped or not. */
static uint64_t shared_bytes(const World *world)
{
    uint64_t n_pages = world->len_bytes / PAGE_BYTES;
    g_autofree unsigned char *present = g_malloc(n_pages);
    uint64_t n = 0;

    assert_int_equal(mincore(world->memory, world->len_bytes, present), 0);
    for (uint64_t page = 0; page < n_pages; page++) {
        n += present[page] & 1;
    }
    return n * PAGE_BYTES;
}

uint64_t world_resident_bytes(const World *world)
{
    return world->kind == RAM_SHARED ? shared_bytes(world) : private_bytes();
}

PageOrder *world_order(const World *world)
{
    const PageOrderBlock block = {(char *)"ram", world->len_bytes, PAGE_BYTES};
    g_autoptr(GArray) blocks =
        g_array_new(FALSE, FALSE, sizeof(PageOrderBlock));
    g_autoptr(GError) error = NULL;

    g_array_append_val(blocks, block);
    PageOrder *order = recorder_to_order(world->recorder, blocks, 0, NULL,
                                         PAGE_ORDER_ORIGIN_SAVE, &error);
    assert_non_null(order);
    return order;
}
