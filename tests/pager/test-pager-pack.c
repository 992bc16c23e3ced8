/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loads with a pack.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/pack-writer.h"
#include "formats/pack.h"
#include "tests/pager/pager-world.h"

#define N_IN_ORDER UINT64_C(1500)
#define N_CHUNKS   (N_IN_ORDER / (PACK_CHUNK_BYTES / FAKE_PAGE_BYTES) + 1)

/* ---- chunks that wait, or fail ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_shut;
static unsigned n_waiting;
static unsigned n_chunks_read;

/* The linker's --wrap puts it in place. */
bool __real_pack_read_chunk(const Pack *pack, size_t i, void *pages,
                            GError **error);
bool __wrap_pack_read_chunk(const Pack *pack, size_t i, void *pages,
                            GError **error);

bool __wrap_pack_read_chunk(const Pack *pack, size_t i, void *pages,
                            GError **error)
{
    pthread_mutex_lock(&lock);
    n_chunks_read++;
    n_waiting++;
    pthread_cond_broadcast(&changed);
    while (is_shut) {
        pthread_cond_wait(&changed, &lock);
    }
    n_waiting--;
    pthread_mutex_unlock(&lock);
    return __real_pack_read_chunk(pack, i, pages, error);
}

static void set_shut(bool shut)
{
    pthread_mutex_lock(&lock);
    is_shut = shut;
    n_chunks_read = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void await_waiting(void)
{
    pthread_mutex_lock(&lock);
    while (n_waiting == 0) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- a world with a pack ---- */

static void fill(uint8_t *page_at, size_t block, uint64_t page)
{
    for (uint64_t at = 0; at < FAKE_PAGE_BYTES; at += sizeof(uint64_t)) {
        uint64_t word = fake_word(block, page, at);

        memcpy(page_at + at, &word, sizeof(word));
    }
}

/* One chunk: of n_pages from first_page on each step-th that the file has. */
static void pack_pages(PackWriter *writer, const RamImage *image, size_t block,
                       uint64_t first_page, uint64_t n_pages, uint64_t step)
{
    g_autoptr(GArray) spans = g_array_new(FALSE, FALSE, sizeof(PageSpan));
    g_autofree uint8_t *pages = g_malloc(PACK_CHUNK_BYTES);

    for (uint64_t i = 0; i < n_pages; i++) {
        const PageSpan span = {block, first_page + i, 1};

        if (span.first_page % step == 0 &&
            ram_image_block_has_page(&image->blocks[block], span.first_page)) {
            fill(pages + spans->len * FAKE_PAGE_BYTES, block, span.first_page);
            g_array_append_val(spans, span);
        }
    }
    assert_true(pack_writer_add(writer, (const PageSpan *)spans->data,
                                spans->len, pages, spans->len * FAKE_PAGE_BYTES,
                                NULL));
}

/* Each step-th of the first N_IN_ORDER pages of block 0, from the last on. */
static int write_pack(const RamImage *image, uint64_t step)
{
    int fd = memfd_create("pack", MFD_CLOEXEC);
    PackWriter *writer = pack_writer_new(fd, image);
    uint64_t chunk_pages = PACK_CHUNK_BYTES / FAKE_PAGE_BYTES;

    for (uint64_t end = N_IN_ORDER; end > 0;) {
        uint64_t n_pages = MIN(chunk_pages, end);

        pack_pages(writer, image, 0, end - n_pages, n_pages, step);
        end -= n_pages;
    }
    assert_true(pack_writer_finish(writer, NULL));
    pack_writer_free(writer);
    return fd;
}

typedef struct Packed {
    World *world;
    Pack *pack;
    int fd;
} Packed;

static void open_pack(Packed *packed)
{
    g_autoptr(GError) error = NULL;

    packed->pack = pack_open(byte_source_new_fd(packed->fd, "fake.pack", NULL),
                             packed->world->snapshot, &error);
    assert_non_null(packed->pack);
    packed->world->pack = packed->pack;
}

static Packed packed_world_of(RamKind kind, uint64_t step)
{
    Packed packed = {.world = world_new(kind, 5)};
    RamImage *image = packed.world->snapshot;

    set_shut(false);
    image->identity = g_strnfill(64, 'a');
    packed.fd = write_pack(image, step);
    open_pack(&packed);
    packed.world->pack_always = true;
    packed.world->rest = LOAD_REST_EAGER;
    return packed;
}

static Packed packed_world(RamKind kind)
{
    return packed_world_of(kind, 1);
}

static void packed_free(Packed *packed)
{
    g_clear_pointer(&packed->world->snapshot->identity, g_free);
    world_free(packed->world);
    pack_free(packed->pack);
    close(packed->fd);
}

/* Before the pack is used.  It is opened anew: what has changed since it was
 * opened is not read at all. */
static void damage(Packed *packed, size_t i)
{
    const PackChunk *chunk = pack_chunk(packed->pack, i);
    uint64_t off_bytes = chunk->off_bytes + chunk->len_bytes / 2;
    uint8_t byte;

    assert_int_equal(pread(packed->fd, &byte, 1, (off_t)off_bytes), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(packed->fd, &byte, 1, (off_t)off_bytes), 1);
    pack_free(packed->pack);
    open_pack(packed);
}

static void start(World *world)
{
    g_autoptr(PageOrder) order = world_order(world, 0, 0, N_IN_ORDER);

    world_start(world, LOAD_POLICY_ORDER, order);
}

static json_int_t n_in_order(const World *world)
{
    json_int_t n = 0;

    for (uint64_t page = 0; page < N_IN_ORDER; page++) {
        n += ram_image_block_has_page(&world->snapshot->blocks[0], page);
    }
    return n;
}

/* Whether anything of block 0's first pages was read from the snapshot. */
static bool has_read_order(const World *world)
{
    for (size_t i = 0; i < fake_source_n_reads(world->source); i++) {
        PageSpan span = fake_source_read_at(world->source, i);

        if (span.block == 0 && span.first_page < N_IN_ORDER) {
            return true;
        }
    }
    return false;
}

static void load_all(World *world)
{
    start(world);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
}

/* ---- tests ---- */

static void check_pages_come_from_the_pack(RamKind kind)
{
    Packed packed = packed_world(kind);
    World *world = packed.world;

    load_all(world);
    assert_false(has_read_order(world));
    assert_int_equal(world_stat(world, "pack", "pages"), n_in_order(world));
    assert_int_equal(world_stat(world, "pages", "by-order"), n_in_order(world));
    assert_int_equal(world_n_pack_failures(world), 0);
    packed_free(&packed);
}

static void the_orders_pages_come_from_the_pack(void **state)
{
    (void)state;
    check_pages_come_from_the_pack(RAM_ANONYMOUS);
}

static void shared_memory_gets_them_from_the_pack_too(void **state)
{
    (void)state;
    check_pages_come_from_the_pack(RAM_SHARED);
}

/* A pack has none of their other pages. */
static void reserved_huge_pages_are_read_from_the_snapshot(void **state)
{
    HugetlbPool pool;

    (void)state;
    if (!hugetlb_pool_open(&pool, WORLD_HUGETLB_PAGES)) {
        skip();
    }
    Packed packed = packed_world(RAM_HUGETLB);
    World *world = packed.world;
    load_all(world);
    assert_int_equal(world_stat(world, "pack", "pages"), 0);
    assert_true(world_stat(world, "pages", "by-order") >= n_in_order(world));
    packed_free(&packed);
    hugetlb_pool_close(&pool);
}

/* A block of ordinary memory in place of the world's. */
static void make_ordinary(World *world, size_t block)
{
    uint64_t len_bytes = WORLD_N_PAGES * FAKE_PAGE_BYTES;

    assert_ptr_not_equal(mmap(world->memory[block], len_bytes,
                              PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                         MAP_FAILED);
    memset(world->memory[block], 0x55, len_bytes);
}

/* Chunks with pages of both blocks, in turn: more than are staged. */
static int write_mixed_pack(const RamImage *image)
{
    enum {
        N_MIXED = 6
    };
    const uint64_t n_pages = PACK_CHUNK_BYTES / FAKE_PAGE_BYTES;
    int fd = memfd_create("pack", MFD_CLOEXEC);
    PackWriter *writer = pack_writer_new(fd, image);
    g_autofree uint8_t *pages = g_malloc(PACK_CHUNK_BYTES);
    g_autofree PageSpan *spans = g_new(PageSpan, n_pages);

    for (uint64_t chunk = 0; chunk < N_MIXED; chunk++) {
        for (uint64_t i = 0; i < n_pages; i++) {
            spans[i] = (PageSpan){i % 2, (chunk * n_pages + i) / 2, 1};
            fill(pages + i * FAKE_PAGE_BYTES, i % 2, spans[i].first_page);
        }
        assert_true(pack_writer_add(writer, spans, n_pages, pages,
                                    PACK_CHUNK_BYTES, NULL));
    }
    assert_true(pack_writer_finish(writer, NULL));
    pack_writer_free(writer);
    return fd;
}

static void a_chunk_may_have_pages_of_both_kinds_of_memory(void **state)
{
    HugetlbPool pool;

    (void)state;
    if (!hugetlb_pool_open(&pool, WORLD_HUGETLB_PAGES)) {
        skip();
    }
    Packed packed = {.world = world_new(RAM_HUGETLB, 8)};
    World *world = packed.world;

    set_shut(false);
    make_ordinary(world, 1);
    world->snapshot->identity = g_strnfill(64, 'a');
    packed.fd = write_mixed_pack(world->snapshot);
    open_pack(&packed);
    world->pack_always = true;
    world->rest = LOAD_REST_EAGER;
    load_all(world);
    assert_true(world_stat(world, "pack", "pages") > 0);
    packed_free(&packed);
    hugetlb_pool_close(&pool);
}

/* Without a pack they are read along: the replay's gaps are 8 pages long. */
static void what_lies_between_is_left_to_the_rest(void **state)
{
    enum {
        STEP = 5
    };
    Packed packed = packed_world_of(RAM_ANONYMOUS, STEP);
    World *world = packed.world;
    g_autoptr(PageOrder) order = page_order_new();
    const RamImageBlock *block = &world->snapshot->blocks[0];

    (void)state;
    page_order_add_block(order, block->name, block->len_bytes, FAKE_PAGE_BYTES);
    for (uint64_t page = 0; page < N_IN_ORDER; page += STEP) {
        page_order_append(order, &(PageExtent){.span = {0, page, 1}});
    }
    world_start(world, LOAD_POLICY_ORDER, order);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    assert_true(world_stat(world, "pack", "pages") > 0);
    assert_int_equal(world_stat(world, "pages", "by-order"),
                     world_stat(world, "pack", "pages"));
    packed_free(&packed);
}

/* The world stages 1 MiB: some chunks are unpacked before there is memory to
 * place them in. */
static void pages_are_unpacked_before_memory_is_there(void **state)
{
    Packed packed = packed_world(RAM_ANONYMOUS);
    World *world = packed.world;

    (void)state;
    start(world);
    pthread_mutex_lock(&lock);
    while (n_chunks_read == 0) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    world_attach(world);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    assert_false(has_read_order(world));
    assert_int_equal(world_stat(world, "pack", "pages"), n_in_order(world));
    packed_free(&packed);
}

static void a_damaged_chunks_pages_come_from_the_snapshot(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CHUNKS; i++) {
        Packed packed = packed_world(RAM_ANONYMOUS);
        World *world = packed.world;

        damage(&packed, i);
        load_all(world);
        assert_true(has_read_order(world));
        assert_int_equal(world_n_pack_failures(world), 1);
        assert_int_equal(world_n_failures(world), 0);
        /* Those before the last one were read before it. */
        assert_true(i < N_CHUNKS - 1 || world_stat(world, "pack", "pages") > 0);
        packed_free(&packed);
    }
}

static void a_wholly_damaged_pack_is_told_of_once(void **state)
{
    Packed packed = packed_world(RAM_ANONYMOUS);
    World *world = packed.world;

    (void)state;
    for (size_t i = 0; i < packed.pack->chunks->len; i++) {
        damage(&packed, i);
    }
    load_all(world);
    assert_int_equal(world_n_pack_failures(world), 1);
    assert_int_equal(world_stat(world, "pack", "pages"), 0);
    packed_free(&packed);
}

static void a_page_that_neither_has_is_waited_for(void **state)
{
    Packed packed = packed_world(RAM_ANONYMOUS);
    World *world = packed.world;
    uint64_t page = 0;

    (void)state;
    while (!ram_image_block_has_page(&world->snapshot->blocks[0], page)) {
        page++;
    }
    for (size_t i = 0; i < packed.pack->chunks->len; i++) {
        damage(&packed, i);
    }
    fake_source_break(world->source, 0, page);
    start(world);
    world_attach(world);
    world_await_failures(world, 1);
    fake_source_mend(world->source);
    pager_retry(world->pager);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    packed_free(&packed);
}

static void a_guest_does_not_wait_for_a_chunk(void **state)
{
    Packed packed = packed_world(RAM_ANONYMOUS);
    World *world = packed.world;
    PageToucher toucher;

    (void)state;
    set_shut(true);
    start(world);
    world_attach(world);
    await_waiting();
    for (uint64_t page = 0; page < N_IN_ORDER; page += 7) {
        world_begin_touch(world, &toucher, 0, page);
        assert_true(world_end_touch(&toucher));
    }
    set_shut(false);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    /* What came by a fault did not come from the pack. */
    assert_int_equal(world_stat(world, "pack", "pages"),
                     world_stat(world, "pages", "by-order"));
    packed_free(&packed);
}

/* An order that has most of its huge pages, of which something would have to be
 * found out with nothing under way. */
static void a_chunk_on_trial_does_not_hold_up_the_order(void **state)
{
    Packed packed = packed_world(RAM_ANONYMOUS);
    World *world = packed.world;
    json_int_t n_chunk_pages = PACK_CHUNK_BYTES / FAKE_PAGE_BYTES;

    (void)state;
    world->pack_always = false;
    world->huge = HUGE_PLACING_ALWAYS;
    set_shut(true);
    start(world);
    world_attach(world);
    await_waiting();
    while (world_n_placed(world) < n_in_order(world) - n_chunk_pages) {
        sched_yield();
    }
    set_shut(false);
    world_await(world, LOAD_GOAL_ALL);
    world_assert_all_right(world);
    packed_free(&packed);
}

static void a_load_can_be_given_up_while_a_chunk_is_read(void **state)
{
    Packed packed = packed_world(RAM_ANONYMOUS);

    (void)state;
    set_shut(true);
    start(packed.world);
    await_waiting();
    set_shut(false);
    packed_free(&packed);
}

static void on_trial_all_is_right_whatever_is_faster(void **state)
{
    Packed packed = packed_world(RAM_ANONYMOUS);
    World *world = packed.world;

    (void)state;
    world->pack_always = false;
    load_all(world);
    assert_true(world_stat(world, "pack", "pages") <= n_in_order(world));
    packed_free(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_orders_pages_come_from_the_pack),
        cmocka_unit_test(shared_memory_gets_them_from_the_pack_too),
        cmocka_unit_test(reserved_huge_pages_are_read_from_the_snapshot),
        cmocka_unit_test(a_chunk_may_have_pages_of_both_kinds_of_memory),
        cmocka_unit_test(what_lies_between_is_left_to_the_rest),
        cmocka_unit_test(pages_are_unpacked_before_memory_is_there),
        cmocka_unit_test(a_damaged_chunks_pages_come_from_the_snapshot),
        cmocka_unit_test(a_wholly_damaged_pack_is_told_of_once),
        cmocka_unit_test(a_page_that_neither_has_is_waited_for),
        cmocka_unit_test(a_guest_does_not_wait_for_a_chunk),
        cmocka_unit_test(a_chunk_on_trial_does_not_hold_up_the_order),
        cmocka_unit_test(a_load_can_be_given_up_while_a_chunk_is_read),
        cmocka_unit_test(on_trial_all_is_right_whatever_is_faster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
