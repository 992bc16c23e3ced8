/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profiling window over pages that do not move, memory that is hardly
 * there, and mappings that change under it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/io_uring.h>

#include "plugin/pager/kernel-file.h"
#include "plugin/pager/resident.h"
#include "tests/pager/profile-world.h"

#define HUGE_PAGES 512 /* pages of one huge page */

static _Atomic uint64_t n_moves;
static _Atomic uint64_t last_dst;

int __real_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);
int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);

int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done)
{
    atomic_fetch_add(&n_moves, 1);
    atomic_store(&last_dst, dst);
    return __real_uffd_move(fd, dst, src, len, skip_holes, ret_done);
}

static _Atomic unsigned n_smaps_read;

char *__real_kernel_file_read(KernelFile file);
char *__wrap_kernel_file_read(KernelFile file);

char *__wrap_kernel_file_read(KernelFile file)
{
    atomic_fetch_add(&n_smaps_read, file == KERNEL_FILE_SMAPS);
    return __real_kernel_file_read(file);
}

/* ---- shared with a fork ---- */

/* A child that does nothing until release_child(). */
typedef struct Child {
    pid_t pid;
    int pipe[2];
} Child;

static Child fork_child(void)
{
    Child child;
    char byte;

    assert_int_equal(pipe2(child.pipe, O_CLOEXEC), 0);
    child.pid = fork();
    if (child.pid == 0) {
        close(child.pipe[1]);
        _exit(read(child.pipe[0], &byte, 1) == 0 ? 0 : 1);
    }
    assert_true(child.pid > 0);
    return child;
}

static void release_child(const Child *child)
{
    close(child->pipe[0]);
    close(child->pipe[1]);
    assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
}

static void a_page_shared_with_a_fork_stays_and_is_not_called_hot(void **state)
{
    World *world = world_new(state);
    Child child = fork_child();

    /* Written to since: this page is ours alone again. */
    *world_word(world, 12, 511) = 13;
    world_open(world);
    assert_int_equal(*world_word(world, 12, 511), 13);
    world_close(world);
    release_child(&child);
    world_assert_right(world);
    assert_int_equal(world->cost.pinned_pages, N_PAGES - 1);
    g_autoptr(PageOrder) order = world_order(world);
    assert_int_equal(order->extents->len, 1);
    assert_int_equal(page_order_extent(order, 0)->span.first_page, 12);
    world_free(world);
}

static void shared_pages_are_passed_over_in_few_calls(void **state)
{
    World *world = world_new(state);
    Child child = fork_child();

    atomic_store(&n_moves, 0);
    world_open(world);
    assert_in_range(atomic_load(&n_moves), 1, N_PAGES / 64);
    world_close(world);
    release_child(&child);
    assert_int_equal(world->cost.pinned_pages, N_PAGES);
    world_free(world);
}

/* As a save leaves it, which reads all of RAM, beside a page that somebody else
 * has as well. */
static void pages_that_were_only_read_are_not_called_unwatched(void **state)
{
    World *world = world_new_empty(RAM_ANONYMOUS, N_PAGES);

    *world_word(world, 0, 0) = 7;
    Child child = fork_child();
    for (uint64_t page = 1; page < N_PAGES; page++) {
        assert_int_equal(*world_word(world, page, 0), 0);
    }
    world_open(world);
    *world_word(world, N_PAGES - 1, 0) = 1;
    world_close(world);
    release_child(&child);
    assert_int_equal(world->cost.pinned_pages, 1);
    g_autoptr(PageOrder) order = world_order(world);
    assert_int_equal(order->extents->len, 1);
    assert_int_equal(page_order_extent(order, 0)->span.first_page, N_PAGES - 1);
    world_free(world);
}

static void a_process_may_fork_while_a_window_is_open(void **state)
{
    World *world = world_new(state);

    world_open(world);
    for (uint64_t page = 0; page < 100; page++) {
        assert_int_equal(*world_word(world, page, 511), page + 1);
    }
    Child child = fork_child();
    assert_int_equal(*world_word(world, 50, 511), 51);
    *world_word(world, 60, 0) = 7;
    assert_int_equal(*world_word(world, 1000, 511), 1001);
    world_close(world);
    release_child(&child);
    assert_int_equal(world->cost.copied_pages, 0);
    assert_int_equal(recorder_count(world->recorder), 101);
    assert_int_equal(*world_word(world, 60, 0), 7);
    world_assert_right(world);
    world_free(world);
}

/* ---- huge pages ---- */

/* A number that the kernel tells of this process, in KiB. */
static uint64_t kib_of(const char *file, const char *field)
{
    g_autofree char *text = NULL;
    g_autofree char *begin = g_strdup_printf("\n%s:", field);

    assert_true(g_file_get_contents(file, &text, NULL, NULL));
    const char *found = strstr(text, begin);
    assert_non_null(found);
    return g_ascii_strtoull(found + strlen(begin), NULL, 10);
}

static uint64_t n_huge_pages(void)
{
    return kib_of("/proc/self/smaps_rollup", "AnonHugePages") * 1024 /
           HUGE_PAGE_BYTES;
}

/* N_PAGES in huge pages. */
static World *world_new_huge(void)
{
    World *world = world_new_empty(RAM_ANONYMOUS, N_PAGES);
    uint64_t before = n_huge_pages();

    if (madvise(world->memory, world->len_bytes, MADV_HUGEPAGE) == 0) {
        world_fill(world);
    }
    if (n_huge_pages() - before != N_PAGES / HUGE_PAGES) {
        print_message("skipped: no huge pages to be had here\n");
        world_free(world);
        skip();
    }
    return world;
}

static void huge_pages_that_nobody_touches_stay_whole(void **state)
{
    World *world = world_new_huge();
    uint64_t before = n_huge_pages();

    world_open(world);
    assert_int_equal(*world_word(world, HUGE_PAGES + 7, 511), HUGE_PAGES + 8);
    assert_int_equal(*world_word(world, HUGE_PAGES + 9, 511), HUGE_PAGES + 10);
    world_close(world);
    assert_int_equal(world->cost.huge_pages_split, 1);
    assert_int_equal(n_huge_pages(), before - 1);
    world_assert_right(world);
    world_free(world);
}

/* Memory that io_uring may read into at any time.  Returns its descriptor, or
 * -1. */
static int pin(uint8_t *address, size_t len_bytes)
{
    struct io_uring_params params = {0};
    struct iovec buffer = {address, len_bytes};
    int ring = (int)syscall(SYS_io_uring_setup, 1, &params);

    if (ring >= 0 && syscall(SYS_io_uring_register, ring,
                             IORING_REGISTER_BUFFERS, &buffer, 1) != 0) {
        close(ring);
        return -1;
    }
    return ring;
}

static void a_huge_page_that_is_pinned_stays_whole_and_is_not_hot(void **state)
{
    World *world = world_new_huge();
    uint64_t before = n_huge_pages();
    int ring = pin(world->memory + 2 * HUGE_PAGE_BYTES, HUGE_PAGE_BYTES);

    if (ring < 0) {
        print_message("skipped: no io_uring to pin pages with\n");
        world_free(world);
        skip();
    }
    world_open(world);
    world_close(world);
    close(ring);
    assert_int_equal(world->cost.pinned_pages, HUGE_PAGES);
    assert_int_equal(world->cost.huge_pages_split, 0);
    assert_int_equal(n_huge_pages(), before);
    assert_int_equal(recorder_count(world->recorder), 0);
    world_assert_right(world);
    world_free(world);
}

/* ---- memory that is hardly there ---- */

static uint64_t page_tables_kib(void)
{
    return kib_of("/proc/self/status", "VmPTE");
}

static void memory_that_is_not_there_takes_no_calls_and_no_tables(void **state)
{
    /* 16 GiB: 32 MiB of page tables, for the memory and again for its
     * shadow. */
    World *world = world_new_empty(RAM_ANONYMOUS, UINT64_C(4) << 20);
    const uint64_t last = (UINT64_C(4) << 20) - 1;

    *world_word(world, 5, 511) = 6;
    *world_word(world, last, 511) = last + 1;
    uint64_t before = page_tables_kib();
    atomic_store(&n_moves, 0);
    world_open(world);
    assert_int_equal(*world_word(world, last, 511), last + 1);
    world_close(world);
    assert_in_range(atomic_load(&n_moves), 3, 6);
    assert_in_range(page_tables_kib(), before, before + 1024);
    assert_int_equal(*world_word(world, 5, 511), 6);
    world_free(world);
}

/* The guest stands still while a window opens. */
static void a_window_opens_without_a_walk_over_all_memory(void **state)
{
    World *world = world_new(state);
    void *locked = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(locked, MAP_FAILED);
    if (mlock(locked, PAGE_BYTES) != 0) {
        print_message("skipped: memory cannot be locked here\n");
        world_free(world);
        skip();
    }
    atomic_store(&n_smaps_read, 0);
    world_open(world);
    assert_int_equal(atomic_load(&n_smaps_read), 0);
    world_close(world);
    munmap(locked, PAGE_BYTES);
    world_free(world);
}

/* In a process that has given up its root since. */
static int open_without_proc(void)
{
    World *world = world_new_empty(RAM_ANONYMOUS, UINT64_C(4) << 20);
    char folder[] = "/tmp/preheat-test-XXXXXX";

    *world_word(world, 5, 511) = 6;
    ram_range_prepare();
    if (!mkdtemp(folder) || chroot(folder) != 0 || chdir("/") != 0) {
        return 2;
    }
    g_autoptr(GError) error = world_try_open(world);
    if (error) {
        fprintf(stderr, "%s\n", error->message);
        return 3;
    }
    atomic_store(&n_moves, 0);
    world_close(world);
    return atomic_load(&n_moves) == 1 && *world_word(world, 5, 511) == 6 ? 0
                                                                         : 4;
}

static void what_pages_there_are_is_known_without_proc_too(void **state)
{
    int status;

    if (geteuid() != 0) {
        print_message("skipped: only root can chroot\n");
        skip();
    }
    pid_t pid = fork();
    if (pid == 0) {
        _exit(open_without_proc());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void scattered_pages_all_leave_and_come_back(void **state)
{
    World *world = world_new_empty(RAM_ANONYMOUS, UINT64_C(1) << 20);
    const uint64_t n_pages = UINT64_C(1) << 20;

    for (uint64_t page = 3; page < n_pages; page += 1 + page % 701) {
        *world_word(world, page, 511) = page + 1;
    }
    world_open(world);
    for (uint64_t page = 3; page < n_pages; page += 1 + page % 701) {
        if (page % 3 == 0) {
            assert_int_equal(*world_word(world, page, 511), page + 1);
        }
    }
    world_close(world);
    for (uint64_t page = 3; page < n_pages; page += 1 + page % 701) {
        assert_int_equal(*world_word(world, page, 511), page + 1);
    }
    world_free(world);
}

/* ---- mappings that change ---- */

static void a_border_between_mappings_takes_few_calls(void **state)
{
    World *world = world_new(state);

    world_open(world);
    /* Two mappings from now on. */
    assert_int_equal(madvise(world_word(world, 1237, 0),
                             (N_PAGES - 1237) * PAGE_BYTES, MADV_DONTDUMP),
                     0);
    atomic_store(&n_moves, 0);
    world_close(world);
    assert_in_range(atomic_load(&n_moves), 2, 100);
    world_assert_right(world);
    world_free(world);
}

static void memory_made_read_only_in_a_window_can_be_read(void **state)
{
    World *world = world_new(state);

    world_open(world);
    assert_int_equal(
        mprotect(world_word(world, 64, 0), 64 * PAGE_BYTES, PROT_READ), 0);
    assert_int_equal(*world_word(world, 70, 511), 71);
    world_close(world);
    world_assert_right(world);
    world_free(world);
}

static void
memory_unplugged_in_a_window_does_not_hold_up_its_close(void **state)
{
    World *world = world_new(state);
    uint64_t half = world->len_bytes / 2;

    world_open(world);
    assert_int_equal(*world_word(world, 1, 511), 2);
    assert_int_equal(munmap(world->memory + half, half), 0);
    world_close(world);
    for (uint64_t page = 0; page < N_PAGES / 2; page++) {
        assert_int_equal(*world_word(world, page, 511), page + 1);
    }
    world_free(world);
}

static void what_lies_where_memory_was_unplugged_is_left_alone(void **state)
{
    World *world = world_new(state);
    uint64_t half = world->len_bytes / 2;

    world_open(world);
    uint8_t *other = mmap(world->memory + half, half, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    assert_ptr_equal(other, world->memory + half);
    other[PAGE_BYTES] = 1;
    world_close(world);
    assert_int_equal(other[PAGE_BYTES], 1);
    for (uint64_t page = N_PAGES / 2; page < N_PAGES; page++) {
        assert_int_equal(*world_word(world, page, 511), 0);
    }
    world_free(world);
}

/* ---- the shadow as a mapping ---- */

/* The flags (smaps) of the mapping that address is in; for g_free(). */
static char *flags_at(uint64_t address)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    bool inside = false;

    assert_true(g_file_get_contents("/proc/self/smaps", &text, NULL, NULL));
    lines = g_strsplit(text, "\n", -1);
    for (size_t i = 0; lines[i]; i++) {
        uint64_t start;
        uint64_t end;

        if (sscanf(lines[i], "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
            inside = start <= address && address < end;
        } else if (inside && g_str_has_prefix(lines[i], "VmFlags:")) {
            return g_strdup(lines[i]);
        }
    }
    fail_msg("nothing is mapped there");
    return NULL;
}

static void the_shadow_is_neither_dumped_nor_forked_nor_filled(void **state)
{
    World *world = world_new(state);

    world_open(world);
    g_autofree char *flags = flags_at(atomic_load(&last_dst));
    world_close(world);
    /* dontdump, dontcopy, no huge pages; nobody waits for its holes. */
    assert_non_null(strstr(flags, " dd"));
    assert_non_null(strstr(flags, " dc"));
    assert_non_null(strstr(flags, " nh"));
    assert_null(strstr(flags, " um"));
    world_free(world);
}

static void
memory_that_cannot_be_watched_is_refused_with_the_way_out(void **state)
{
    const uint64_t len = 64 * PAGE_BYTES;
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    World world = {.memory = memory, .len_bytes = len};
    g_autoptr(GError) error = world_try_open(&world);

    munmap(memory, len);
    close(fd);
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_RAM));
    assert_non_null(strstr(error->message, "save without --profile"));
    assert_null(strstr(error->message, "--policy"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_ANONYMOUS(a_page_shared_with_a_fork_stays_and_is_not_called_hot),
        FOR_ANONYMOUS(shared_pages_are_passed_over_in_few_calls),
        cmocka_unit_test(pages_that_were_only_read_are_not_called_unwatched),
        FOR_ANONYMOUS(a_process_may_fork_while_a_window_is_open),
        cmocka_unit_test(huge_pages_that_nobody_touches_stay_whole),
        cmocka_unit_test(a_huge_page_that_is_pinned_stays_whole_and_is_not_hot),
        cmocka_unit_test(memory_that_is_not_there_takes_no_calls_and_no_tables),
        FOR_BOTH_KINDS(a_window_opens_without_a_walk_over_all_memory),
        cmocka_unit_test(what_pages_there_are_is_known_without_proc_too),
        cmocka_unit_test(scattered_pages_all_leave_and_come_back),
        FOR_ANONYMOUS(a_border_between_mappings_takes_few_calls),
        FOR_ANONYMOUS(memory_made_read_only_in_a_window_can_be_read),
        FOR_ANONYMOUS(memory_unplugged_in_a_window_does_not_hold_up_its_close),
        FOR_ANONYMOUS(what_lies_where_memory_was_unplugged_is_left_alone),
        cmocka_unit_test(
            memory_that_cannot_be_watched_is_refused_with_the_way_out),
        FOR_ANONYMOUS(the_shadow_is_neither_dumped_nor_forked_nor_filled),
    };

    if (!have_userfaultfd(UFFD_CAN_MOVE)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
