/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading a file through the page cache and past it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "plugin/pager/page-file.h"

#define PAGE_BYTES 4096
#define N_PAGES    256
#define LEN_BYTES  (N_PAGES * PAGE_BYTES)

typedef struct Fixture {
    char *path;
    int fd;
    uint8_t *expected;
    uint8_t *buf;
} Fixture;

static void *map(void)
{
    void *memory = mmap(NULL, LEN_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

/* A file on the disk, of which nothing is in the page cache. */
static Fixture *fixture_new(void)
{
    Fixture *fixture = g_new0(Fixture, 1);
    unsigned seed = 1;

    fixture->path = g_strdup("/var/tmp/preheat-test-XXXXXX");
    fixture->fd = mkstemp(fixture->path);
    assert_true(fixture->fd >= 0);
    fixture->expected = map();
    fixture->buf = map();
    for (size_t i = 0; i < LEN_BYTES; i++) {
        fixture->expected[i] = (uint8_t)(rand_r(&seed) >> 4);
    }
    assert_int_equal(write(fixture->fd, fixture->expected, LEN_BYTES),
                     LEN_BYTES);
    assert_int_equal(fsync(fixture->fd), 0);
    assert_int_equal(posix_fadvise(fixture->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    return fixture;
}

static void fixture_free(Fixture *fixture)
{
    close(fixture->fd);
    unlink(fixture->path);
    munmap(fixture->expected, LEN_BYTES);
    munmap(fixture->buf, LEN_BYTES);
    g_free(fixture->path);
    g_free(fixture);
}

static size_t n_cached(const Fixture *fixture)
{
    unsigned char there[N_PAGES];
    size_t n = 0;
    void *memory = mmap(NULL, LEN_BYTES, PROT_READ, MAP_SHARED, fixture->fd, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mincore(memory, LEN_BYTES, there), 0);
    munmap(memory, LEN_BYTES);
    for (size_t i = 0; i < N_PAGES; i++) {
        n += there[i] & 1;
    }
    return n;
}

static void open_file(const Fixture *fixture, LoadCache cache, PageFile *file)
{
    assert_int_equal(page_file_open(fixture->fd, cache, file), 0);
}

/* Whether nothing is in the page cache now and direct reads work: not so on
 * every file system. */
static bool can_be_cold(const Fixture *fixture, const PageFile *file)
{
    if (file->direct_fd < 0 || n_cached(fixture) > 0) {
        print_message("skipped: no O_DIRECT in /var/tmp\n");
        return false;
    }
    return true;
}

static void read_all(const Fixture *fixture, PageFile *file, bool once)
{
    memset(fixture->buf, 0, LEN_BYTES);
    assert_int_equal(page_file_read(file, fixture->buf, LEN_BYTES, 0, once), 0);
    assert_memory_equal(fixture->buf, fixture->expected, LEN_BYTES);
}

/* ---- the tests ---- */

static void what_is_wanted_once_and_is_cold_is_not_cached(void **state)
{
    Fixture *fixture = fixture_new();
    PageFile file;

    (void)state;
    open_file(fixture, LOAD_CACHE_AUTO, &file);
    if (can_be_cold(fixture, &file)) {
        read_all(fixture, &file, true);
        assert_int_equal(n_cached(fixture), 0);
        assert_false(file.shuns_direct);
    }
    page_file_close(&file);
    fixture_free(fixture);
}

static void what_may_be_wanted_again_is_cached(void **state)
{
    Fixture *fixture = fixture_new();
    PageFile file;

    (void)state;
    open_file(fixture, LOAD_CACHE_AUTO, &file);
    read_all(fixture, &file, false);
    assert_int_equal(n_cached(fixture), N_PAGES);
    page_file_close(&file);
    fixture_free(fixture);
}

static void each_way_can_be_forced(void **state)
{
    Fixture *fixture = fixture_new();
    PageFile file;

    (void)state;
    open_file(fixture, LOAD_CACHE_DIRECT, &file);
    if (can_be_cold(fixture, &file)) {
        read_all(fixture, &file, false);
        assert_int_equal(n_cached(fixture), 0);
    }
    page_file_close(&file);
    open_file(fixture, LOAD_CACHE_BUFFERED, &file);
    assert_int_equal(file.direct_fd, -1);
    read_all(fixture, &file, true);
    assert_int_equal(n_cached(fixture), N_PAGES);
    page_file_close(&file);
    fixture_free(fixture);
}

static void what_is_not_aligned_is_read_through_the_cache(void **state)
{
    Fixture *fixture = fixture_new();
    PageFile file;

    (void)state;
    open_file(fixture, LOAD_CACHE_DIRECT, &file);
    assert_int_equal(page_file_read(&file, fixture->buf, PAGE_BYTES, 1, true),
                     0);
    assert_memory_equal(fixture->buf, fixture->expected + 1, PAGE_BYTES);
    assert_int_equal(
        page_file_read(&file, fixture->buf + 1, PAGE_BYTES, 0, true), 0);
    assert_memory_equal(fixture->buf + 1, fixture->expected, PAGE_BYTES);
    page_file_close(&file);
    fixture_free(fixture);
}

static void what_cannot_be_read_directly_is_read_otherwise(void **state)
{
    Fixture *fixture = fixture_new();
    PageFile file;
    int pipes[2];

    (void)state;
    open_file(fixture, LOAD_CACHE_DIRECT, &file);
    if (file.direct_fd >= 0) {
        close(file.direct_fd);
    }
    assert_int_equal(pipe(pipes), 0);
    file.direct_fd = pipes[0];
    read_all(fixture, &file, true);
    close(pipes[1]);
    page_file_close(&file);
    fixture_free(fixture);
}

static void a_file_that_has_become_shorter_is_told(void **state)
{
    Fixture *fixture = fixture_new();
    PageFile file;

    (void)state;
    open_file(fixture, LOAD_CACHE_AUTO, &file);
    assert_int_equal(ftruncate(fixture->fd, LEN_BYTES / 2 + 10), 0);
    assert_int_equal(page_file_read(&file, fixture->buf, LEN_BYTES, 0, true),
                     -ENODATA);
    page_file_close(&file);
    fixture_free(fixture);
}

static void what_is_warmed_is_in_the_cache_and_not_read_again(void **state)
{
    Fixture *fixture = fixture_new();
    PageFile file;

    (void)state;
    open_file(fixture, LOAD_CACHE_AUTO, &file);
    if (can_be_cold(fixture, &file)) {
        assert_int_equal(page_file_warm(&file, fixture->buf, LEN_BYTES, 0),
                         LEN_BYTES);
        assert_int_equal(n_cached(fixture), N_PAGES);
        assert_int_equal(page_file_warm(&file, fixture->buf, LEN_BYTES, 0), 0);
    }
    page_file_close(&file);
    fixture_free(fixture);
}

/* As if all of it were read past the cache. */
static void what_does_not_stay_in_the_cache_is_not_warmed(void **state)
{
    Fixture *fixture = fixture_new();
    PageFile file;

    (void)state;
    open_file(fixture, LOAD_CACHE_AUTO, &file);
    if (can_be_cold(fixture, &file)) {
        assert_true(dup2(file.direct_fd, file.fd) >= 0);
        assert_int_equal(page_file_warm(&file, fixture->buf, LEN_BYTES, 0),
                         LEN_BYTES);
        assert_true(file.shuns_warm);
        assert_int_equal(page_file_warm(&file, fixture->buf, LEN_BYTES, 0), 0);
    }
    page_file_close(&file);
    fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wanted_once_and_is_cold_is_not_cached),
        cmocka_unit_test(what_may_be_wanted_again_is_cached),
        cmocka_unit_test(each_way_can_be_forced),
        cmocka_unit_test(what_is_not_aligned_is_read_through_the_cache),
        cmocka_unit_test(what_cannot_be_read_directly_is_read_otherwise),
        cmocka_unit_test(a_file_that_has_become_shorter_is_told),
        cmocka_unit_test(what_is_warmed_is_in_the_cache_and_not_read_again),
        cmocka_unit_test(what_does_not_stay_in_the_cache_is_not_warmed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
