/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What of a file is in the page cache is asked of the kernel: so the file lies
 * in the folder that the test runs in, which is on a disk.
 */
#include "tests/util/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/prefetch.h"
#include "tests/formats/image.h"
#include "util/clock.h"

#define PAGE_BYTES 4096

/* pc.ram of image_valid() has these pages in the file. */
#define FIRST_PAGE 0
#define LAST_PAGE  129

typedef struct World {
    char path[64];
    int fd;
    RamImage *image;
} World;

static World world;

/* How much the clock is ahead: nobody waits. */
static _Atomic uint64_t ahead_us;
static pthread_t main_thread;

uint64_t __real_monotonic_us(void);
uint64_t __wrap_monotonic_us(void);
void __real_clock_cond_wait_until(pthread_cond_t *changed,
                                  pthread_mutex_t *lock, uint64_t until_us);
void __wrap_clock_cond_wait_until(pthread_cond_t *changed,
                                  pthread_mutex_t *lock, uint64_t until_us);

uint64_t __wrap_monotonic_us(void)
{
    return __real_monotonic_us() + atomic_load(&ahead_us);
}

void __wrap_clock_cond_wait_until(pthread_cond_t *changed,
                                  pthread_mutex_t *lock, uint64_t until_us)
{
    uint64_t now_us = __wrap_monotonic_us();

    if (pthread_equal(pthread_self(), main_thread)) {
        pthread_cond_wait(changed, lock);
    } else if (until_us > now_us) {
        atomic_fetch_add(&ahead_us, until_us - now_us);
    }
}

/* Out of the page cache with it; false where it stays. */
static bool drop_cache(void)
{
    assert_int_equal(fsync(world.fd), 0);
    return posix_fadvise(world.fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
}

/* For each page of the file whether it is in the page cache; for g_free(). */
static uint8_t *look(size_t *ret_n_pages)
{
    off_t len_bytes = lseek(world.fd, 0, SEEK_END);
    size_t n_pages = ((size_t)len_bytes + PAGE_BYTES - 1) / PAGE_BYTES;
    uint8_t *cached = g_malloc(n_pages);
    void *map =
        mmap(NULL, (size_t)len_bytes, PROT_READ, MAP_SHARED, world.fd, 0);

    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(mincore(map, (size_t)len_bytes, cached), 0);
    munmap(map, (size_t)len_bytes);
    *ret_n_pages = n_pages;
    return cached;
}

static bool is_cached(size_t block, uint64_t page)
{
    const RamImageBlock *saved = &world.image->blocks[block];
    size_t n_pages;
    g_autofree uint8_t *cached = look(&n_pages);

    return cached[(saved->pages_off_bytes + page * saved->page_bytes) /
                  PAGE_BYTES] &
           1;
}

static size_t count_cached(void)
{
    size_t n_pages, n_cached = 0;
    g_autofree uint8_t *cached = look(&n_pages);

    for (size_t i = 0; i < n_pages; i++) {
        n_cached += cached[i] & 1;
    }
    return n_cached;
}

static int set_up(void **state)
{
    const Image image = image_valid();
    g_autoptr(GBytes) bytes = image_bytes(&image);
    gsize len_bytes;
    const void *data = g_bytes_get_data(bytes, &len_bytes);

    main_thread = pthread_self();
    strcpy(world.path, "preheat-test-prefetch-XXXXXX");
    world.fd = mkostemp(world.path, O_CLOEXEC);
    assert_int_equal(write(world.fd, data, len_bytes), len_bytes);
    world.image = ram_image_open(world.path, 0, NULL);
    assert_non_null(world.image);
    return 0;
}

static int tear_down(void **state)
{
    ram_image_free(world.image);
    close(world.fd);
    unlink(world.path);
    return 0;
}

static void skip_unless_dropped(void)
{
    drop_cache();
    if (count_cached() > 0) {
        print_message("this file system keeps its pages\n");
        skip();
    }
}

static PrefetchResult prefetch(const PageOrder *order, uint64_t max_rate)
{
    GError *error = NULL;
    PrefetchResult result;

    prefetch_run(world.image, order, max_rate, NULL, &result, &error);
    assert_no_error(error);
    return result;
}

/* Of these pages of pc.ram. */
static PageOrder *order_of(const uint64_t *pages, size_t n_pages)
{
    const RamImageBlock *block = &world.image->blocks[0];
    PageOrder *order = page_order_new();
    uint32_t index = page_order_add_block(order, block->name, block->len_bytes,
                                          block->page_bytes);

    for (size_t i = 0; i < n_pages; i++) {
        const PageExtent extent = {.span = {index, pages[i], 1}};

        page_order_append(order, &extent);
    }
    return order;
}

static void the_orders_pages_are_in_the_cache_and_no_others(void **state)
{
    /* One of them is not in the file. */
    static const uint64_t pages[] = {LAST_PAGE, 64, FIRST_PAGE};
    g_autoptr(PageOrder) order = order_of(pages, G_N_ELEMENTS(pages));

    skip_unless_dropped();
    PrefetchResult result = prefetch(order, 0);
    assert_int_equal(result.n_pages, 2);
    assert_int_equal(result.n_bytes, 2 * PAGE_BYTES);
    assert_true(is_cached(0, FIRST_PAGE));
    assert_true(is_cached(0, LAST_PAGE));
    assert_int_equal(count_cached(), 2);
}

static void without_an_order_all_pages_are_in_the_cache(void **state)
{
    uint64_t n_in_file = 0;

    skip_unless_dropped();
    for (size_t i = 0; i < world.image->n_blocks; i++) {
        n_in_file += world.image->blocks[i].n_pages_in_file;
    }
    PrefetchResult result = prefetch(NULL, 0);
    assert_int_equal(result.n_pages, n_in_file);
    for (size_t i = 0; i < world.image->n_blocks; i++) {
        for (uint64_t j = 0; j < world.image->blocks[i].n_pages; j++) {
            if (ram_image_block_has_page(&world.image->blocks[i], j)) {
                assert_true(is_cached(i, j));
            }
        }
    }
}

static void a_page_that_comes_twice_is_read_once(void **state)
{
    static const uint64_t pages[] = {FIRST_PAGE, LAST_PAGE, FIRST_PAGE};
    g_autoptr(PageOrder) order = order_of(pages, G_N_ELEMENTS(pages));

    assert_int_equal(prefetch(order, 0).n_bytes, 2 * PAGE_BYTES);
}

/* All but the last stretch have been waited for. */
static void no_more_is_read_in_a_second_than_was_allowed(void **state)
{
    const uint64_t max_rate = 4 * PAGE_BYTES;
    PrefetchResult result = prefetch(NULL, max_rate);
    uint64_t least_bytes = result.n_bytes - world.image->blocks[1].len_bytes;

    assert_true(least_bytes > 0);
    assert_true(result.us >= least_bytes * 1000000 / max_rate);
}

static void a_snapshot_that_cannot_be_read_is_told(void **state)
{
    GError *error = NULL;
    PrefetchResult result;

    assert_int_equal(ftruncate(world.fd, PAGE_BYTES), 0);
    assert_false(prefetch_run(world.image, NULL, 0, NULL, &result, &error));
    assert_non_null(error);
    assert_non_null(strstr(error->message, world.path));
    g_error_free(error);
}

/* ---- pages of any length ---- */

static _Atomic uint64_t longest_read;

/* Nobody has room for all of that, nor is it looked at. */
static bool note_read(const ByteSource *source, void *buffer, size_t len_bytes,
                      uint64_t off_bytes, GError **error)
{
    uint64_t longest = atomic_load(&longest_read);

    while (len_bytes > longest &&
           !atomic_compare_exchange_weak(&longest_read, &longest, len_bytes)) {
    }
    return true;
}

static void free_source(ByteSource *source)
{
    g_free(source);
}

static void large_pages_are_read_one_by_one(void **state)
{
    static const ByteSourceOps ops = {.read_at = note_read,
                                      .free = free_source};
    const uint64_t page_bytes = UINT64_C(16) << 20;
    uint64_t bitmap[] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, 0};
    RamImageBlock block = {.name = (char *)"large",
                           .page_bytes = page_bytes,
                           .n_pages = 256,
                           .len_bytes = 256 * page_bytes,
                           .bitmap = bitmap};
    ByteSource *source = g_new0(ByteSource, 1);
    const RamImage image = {
        .source = source, .blocks = &block, .n_blocks = 1, .path = world.path};
    GError *error = NULL;
    PrefetchResult result;

    byte_source_init(source, &ops, "large", block.len_bytes);
    prefetch_run(&image, NULL, 0, NULL, &result, &error);
    assert_no_error(error);
    assert_int_equal(result.n_pages, block.n_pages);
    assert_int_equal(longest_read, page_bytes);
    byte_source_free(source);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_orders_pages_are_in_the_cache_and_no_others),
        TEST(without_an_order_all_pages_are_in_the_cache),
        TEST(a_page_that_comes_twice_is_read_once),
        TEST(no_more_is_read_in_a_second_than_was_allowed),
        TEST(a_snapshot_that_cannot_be_read_is_told),
        TEST(large_pages_are_read_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
