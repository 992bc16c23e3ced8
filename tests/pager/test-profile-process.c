/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profiling window in a process whose pages are merged (KSM, the kernel's
 * samepage merging), or that has no mappings left: nothing that a sanitizer
 * bears.
 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/pager/profile-world.h"

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

/* ---- KSM ---- */

#define KSM "/sys/kernel/mm/ksm/"

static const char *const ksm_settings[] = {"run", "pages_to_scan",
                                           "sleep_millisecs"};
static char *ksm_before[G_N_ELEMENTS(ksm_settings)];
static int ksm_lock = -1; /* there is one KSM for all who test with it */

static bool ksm_write(const char *name, const char *value)
{
    g_autofree char *path = g_strconcat(KSM, name, NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, value, strlen(value)) > 0;

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static char *ksm_read(const char *name)
{
    g_autofree char *path = g_strconcat(KSM, name, NULL);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text)
                                                        : NULL;
}

static uint64_t ksm_number(const char *name)
{
    g_autofree char *text = ksm_read(name);

    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

/* Have KSM merge quickly, until ksm_restore(). */
static bool ksm_hurry(void)
{
    static const char *const values[] = {"1", "20000", "1"};

    ksm_lock = open(KSM "run", O_RDONLY | O_CLOEXEC);
    if (ksm_lock < 0 || flock(ksm_lock, LOCK_EX) != 0) {
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(ksm_settings); i++) {
        ksm_before[i] = ksm_read(ksm_settings[i]);
    }
    for (size_t i = G_N_ELEMENTS(ksm_settings); i-- > 0;) {
        if (!ksm_write(ksm_settings[i], values[i])) {
            return false;
        }
    }
    return true;
}

static int ksm_restore(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(ksm_settings); i++) {
        if (ksm_before[i]) {
            ksm_write(ksm_settings[i], ksm_before[i]);
        }
        g_clear_pointer(&ksm_before[i], g_free);
    }
    if (ksm_lock >= 0) {
        close(ksm_lock);
        ksm_lock = -1;
    }
    return 0;
}

static void ksm_require(void)
{
    if (!ksm_hurry()) {
        print_message("skipped: KSM cannot be switched on here (root only)\n");
        skip();
    }
}

/* A page that does not change is merged in its third scan at the latest.  Who
 * does not know of the lock may have switched KSM off meanwhile. */
static void ksm_await_scans(void)
{
    uint64_t end = ksm_number("full_scans") + 4;

    while (ksm_number("full_scans") < end) {
        ksm_write("run", "1");
        sched_yield();
    }
}

/* Pages of one content, of which the window's memory is full. */
static void fill_alike(World *world, uint64_t first, uint64_t n)
{
    for (uint64_t page = first; page < first + n; page++) {
        memset(world->memory + page * PAGE_BYTES, 0x5a, PAGE_BYTES);
    }
}

static void assert_alike(const World *world, uint64_t first, uint64_t n)
{
    for (uint64_t page = first; page < first + n; page++) {
        assert_int_equal(*world_word(world, page, 511),
                         UINT64_C(0x5a5a5a5a5a5a5a5a));
    }
}

static void pages_merged_by_ksm_are_not_called_hot(void **state)
{
    World *world = world_new(state);

    ksm_require();
    fill_alike(world, 0, 1024);
    assert_int_equal(madvise(world->memory, world->len_bytes, MADV_MERGEABLE),
                     0);
    ksm_await_scans();
    assert_true(ksm_number("pages_sharing") > 900);
    world_open(world);
    assert_int_equal(*world_word(world, 2000, 511), 2001);
    world_close(world);

    assert_in_range(world->cost.pinned_pages, 900, 1024);
    g_autoptr(PageOrder) order = world_order(world);
    assert_int_equal(order->extents->len, 1);
    assert_int_equal(page_order_extent(order, 0)->span.first_page, 2000);
    assert_alike(world, 0, 1024);
    assert_int_equal(*world_word(world, 1024, 511), 1025);
    world_free(world);
}

/* Where all memory of a process may be merged, a shadow's is not: it would have
 * to be copied back. */
static void pages_are_not_merged_in_the_shadow(void **state)
{
    ksm_require();
    if (prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) != 0) {
        print_message("skipped: no PR_SET_MEMORY_MERGE (Linux 6.4)\n");
        skip();
    }
    World *world = world_new(state);
    assert_int_equal(madvise(world->memory, world->len_bytes, MADV_UNMERGEABLE),
                     0);
    fill_alike(world, 0, 1024);
    world_open(world);
    ksm_await_scans();
    world_close(world);
    assert_int_equal(prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0), 0);
    assert_int_equal(world->cost.copied_pages, 0);
    assert_alike(world, 0, 1024);
    world_free(world);
}

/* ---- hardly any mappings left ---- */

#define MOST_MAPPINGS 70000 /* that are worth making for a test */

/* A mapping for each page, as many as the kernel allows this process. */
static void use_up_mappings(uint8_t *memory, uint64_t n_pages)
{
    for (uint64_t page = 0; page < n_pages; page += 2) {
        if (mprotect(memory + page * PAGE_BYTES, PAGE_BYTES, PROT_READ) != 0) {
            return;
        }
    }
    fail_msg("there is no end to mappings");
}

static void a_window_that_finds_no_mappings_left_does_no_harm(void **state)
{
    const uint64_t n_pages = MOST_MAPPINGS + 2;
    g_autofree char *text = NULL;

    assert_true(
        g_file_get_contents("/proc/sys/vm/max_map_count", &text, NULL, NULL));
    if (g_ascii_strtoull(text, NULL, 10) > MOST_MAPPINGS) {
        print_message("skipped: vm.max_map_count is very large here\n");
        skip();
    }
    World *world = world_new(state);
    World *filler = world_new_empty(RAM_ANONYMOUS, n_pages);
    unsigned n_opened = 0;

    use_up_mappings(filler->memory, n_pages);
    for (uint64_t n_spare = 0; n_spare < 12; n_spare++) {
        g_autoptr(GError) error = world_try_open(world);

        if (!error) {
            n_opened++;
            assert_int_equal(*world_word(world, n_spare, 511), n_spare + 1);
            world_close(world);
        }
        world_assert_right(world);
        /* Two mappings fewer: this page is as its neighbours again. */
        assert_int_equal(mprotect(filler->memory + 2 * n_spare * PAGE_BYTES,
                                  PAGE_BYTES, PROT_READ | PROT_WRITE),
                         0);
    }
    world_free(filler);
    assert_in_range(n_opened, 1, 11);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"pages_merged_by_ksm_are_not_called_hot",
         pages_merged_by_ksm_are_not_called_hot, NULL, ksm_restore,
         &ram_kind_anonymous},
        {"pages_are_not_merged_in_the_shadow",
         pages_are_not_merged_in_the_shadow, NULL, ksm_restore,
         &ram_kind_anonymous},
        FOR_ANONYMOUS(a_window_that_finds_no_mappings_left_does_no_harm),
    };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    puts("skipped: a sanitizer needs mappings of its own");
    return 77;
#endif
    if (!have_userfaultfd(UFFD_CAN_MOVE)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
