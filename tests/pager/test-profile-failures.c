/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profiling window when a step of it fails: each call to the kernel is
 * made to fail in turn (the linker's --wrap puts this between), while threads
 * use the memory.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "plugin/pager/kernel-features.h"
#include "plugin/pager/uffd.h"
#include "tests/pager/profile-world.h"
#include "util/clock.h"
#include "util/thread.h"

/* So much that opening takes several calls of UFFDIO_MOVE. */
#define MANY_PAGES UINT64_C(20480)

/* The call that fails next: 1 is the next one; 0: none. */
static _Atomic int fails_in;
static _Atomic int fails_with;

/* Let moves of several pages tell of half of what they did. */
static _Atomic bool understates;

/* What would have come to this page cannot be read; 0: none. */
static _Atomic uint64_t failed_page;

/* What would have come to this page does not move, and cannot be copied for so
 * many times; 0: none. */
static _Atomic uint64_t busy_page;
static _Atomic int n_unreadable;

/* UFFD_CAN_*: what the kernel does not have. */
static _Atomic unsigned lacks;

/* By 1 << KernelFeature: what the kernel is not to be trusted with. */
static _Atomic unsigned unsafe;

/* Whether this call is the one; it is then answered with *ret_rc.  Only a move
 * can be answered with a condition, all else just with an error. */
static bool is_to_fail(int *ret_rc, bool is_move)
{
    int before = atomic_load(&fails_in);

    while (before > 0 && (is_move || atomic_load(&fails_with) < 0)) {
        if (atomic_compare_exchange_weak(&fails_in, &before, before - 1)) {
            *ret_rc = atomic_load(&fails_with);
            return before == 1;
        }
    }
    return false;
}

int __real_uffd_open(int *ret_fd, UffdCaps *ret_caps);
int __wrap_uffd_open(int *ret_fd, UffdCaps *ret_caps);
int __real_uffd_open_with_removals(int *ret_fd, UffdCaps *ret_caps);
int __wrap_uffd_open_with_removals(int *ret_fd, UffdCaps *ret_caps);
bool __real_kernel_feature_is_safe(KernelFeature feature);
bool __wrap_kernel_feature_is_safe(KernelFeature feature);
int __real_uffd_register(int fd, uint64_t start, uint64_t len, UffdMode mode);
int __wrap_uffd_register(int fd, uint64_t start, uint64_t len, UffdMode mode);
int __real_uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
                     uint64_t *ret_done);
int __wrap_uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
                     uint64_t *ret_done);
int __real_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);
int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done);
int __real_thread_start(pthread_t *ret_thread, const char *name,
                        void *(*function)(void *), void *argument);
int __wrap_thread_start(pthread_t *ret_thread, const char *name,
                        void *(*function)(void *), void *argument);

int __wrap_uffd_open(int *ret_fd, UffdCaps *ret_caps)
{
    int rc;

    return is_to_fail(&rc, false) ? rc : __real_uffd_open(ret_fd, ret_caps);
}

int __wrap_uffd_open_with_removals(int *ret_fd, UffdCaps *ret_caps)
{
    int rc;

    if (is_to_fail(&rc, false)) {
        return rc;
    }
    rc = __real_uffd_open_with_removals(ret_fd, ret_caps);
    if (rc == 0) {
        *ret_caps &= ~(UffdCaps)atomic_load(&lacks);
    }
    return rc;
}

bool __wrap_kernel_feature_is_safe(KernelFeature feature)
{
    return !(atomic_load(&unsafe) & (1u << feature)) &&
           __real_kernel_feature_is_safe(feature);
}

int __wrap_uffd_register(int fd, uint64_t start, uint64_t len, UffdMode mode)
{
    int rc;

    return is_to_fail(&rc, false) ? rc
                                  : __real_uffd_register(fd, start, len, mode);
}

int __wrap_uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
                     uint64_t *ret_done)
{
    if (dst == atomic_load(&failed_page)) {
        return -EFAULT;
    }
    if (dst == atomic_load(&busy_page) && atomic_load(&n_unreadable) > 0) {
        atomic_fetch_sub(&n_unreadable, 1);
        return -EFAULT;
    }
    return __real_uffd_copy(fd, dst, src, len, ret_done);
}

int __wrap_uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
                     bool skip_holes, uint64_t *ret_done)
{
    uint64_t busy = atomic_load(&busy_page);
    uint64_t stays = busy != 0 ? busy : atomic_load(&failed_page);
    int rc;

    *ret_done = 0;
    if (is_to_fail(&rc, true)) {
        return rc;
    }
    if (dst == stays) {
        return busy != 0 ? -EBUSY : -EFAULT;
    }
    if (dst < stays && stays < dst + len) {
        rc = __real_uffd_move(fd, dst, src, stays - dst, skip_holes, ret_done);
        return rc == 0 ? UFFD_AGAIN : rc;
    }
    rc = __real_uffd_move(fd, dst, src, len, skip_holes, ret_done);
    if (rc == 0 && len > PAGE_BYTES && atomic_load(&understates)) {
        *ret_done = len / PAGE_BYTES / 2 * PAGE_BYTES;
        return UFFD_AGAIN;
    }
    return rc;
}

int __wrap_thread_start(pthread_t *ret_thread, const char *name,
                        void *(*function)(void *), void *argument)
{
    int rc;

    return is_to_fail(&rc, false)
               ? rc
               : __real_thread_start(ret_thread, name, function, argument);
}

/* ---- a user of the memory ---- */

typedef struct User {
    uint64_t *words; /* one a page is its own */
    uint64_t *counts;
    unsigned seed;
    _Atomic bool end;
    uint64_t n_wrong;
} User;

static uint64_t *word_at(const User *user, uint64_t page)
{
    return user->words + page * PAGE_BYTES / sizeof(uint64_t);
}

static void *use_memory(void *opaque)
{
    User *user = opaque;

    while (!atomic_load(&user->end)) {
        uint64_t page = (unsigned)rand_r(&user->seed) % MANY_PAGES;

        user->n_wrong += *word_at(user, page) != user->counts[page];
        *word_at(user, page) = ++user->counts[page];
    }
    return NULL;
}

static void check_all(User *user)
{
    for (uint64_t page = 0; page < MANY_PAGES; page++) {
        user->n_wrong += *word_at(user, page) != user->counts[page];
    }
    assert_int_equal(user->n_wrong, 0);
}

/* ---- the tests ---- */

/* Open and close a window in which the call'th step fails with rc.  Returns
 * whether there was such a step. */
static bool fail_step(const PagerRange *range, int call, int rc)
{
    Recorder *recorder = recorder_new(1 << 20);
    LoadStats *stats = load_stats_new(monotonic_us());
    ProfileWindowCost cost;
    g_autoptr(GError) error = NULL;

    atomic_store(&fails_with, rc);
    atomic_store(&fails_in, call);
    ProfileWindow *window =
        profile_window_open(range, 1, recorder, stats, &error);
    if (window) {
        while (recorder_count(recorder) < 20) {
            sched_yield();
        }
        profile_window_close(window, &cost);
    } else {
        assert_non_null(error);
    }
    bool happened = atomic_exchange(&fails_in, 0) == 0;
    recorder_free(recorder);
    load_stats_free(stats);
    return happened;
}

static void memory_is_right_whatever_step_fails_with(int rc)
{
    uint8_t *memory =
        mmap(NULL, MANY_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    User user = {.words = (uint64_t *)(void *)memory,
                 .counts = g_new0(uint64_t, MANY_PAGES),
                 .seed = (unsigned)-rc};
    const PagerRange range = {"ram", (uintptr_t)memory,
                              MANY_PAGES * PAGE_BYTES};
    pthread_t thread;

    assert_ptr_not_equal(memory, MAP_FAILED);
    for (uint64_t page = 0; page < MANY_PAGES; page++) {
        *word_at(&user, page) = user.counts[page] = page;
    }
    assert_int_equal(pthread_create(&thread, NULL, use_memory, &user), 0);
    /* Far enough to reach faults and the moving back. */
    for (int call = 1; call <= 40; call++) {
        fail_step(&range, call, rc);
    }
    atomic_store(&user.end, true);
    pthread_join(thread, NULL);
    check_all(&user);
    munmap(memory, MANY_PAGES * PAGE_BYTES);
    g_free(user.counts);
}

static void memory_is_right_whatever_step_finds_no_memory(void **state)
{
    memory_is_right_whatever_step_fails_with(-ENOMEM);
}

static void memory_is_right_whatever_page_is_busy(void **state)
{
    memory_is_right_whatever_step_fails_with(-EBUSY);
}

static void memory_is_right_whatever_step_is_invalid(void **state)
{
    memory_is_right_whatever_step_fails_with(-EINVAL);
}

static void memory_is_right_whatever_step_has_to_be_tried_again(void **state)
{
    memory_is_right_whatever_step_fails_with(UFFD_AGAIN);
}

/* A window over much memory. */
static World *watch_memory(void)
{
    World *world = world_new_empty(RAM_ANONYMOUS, MANY_PAGES);

    world_fill(world);
    world_open(world);
    return world;
}

/* As Linux 6.18 does when it meets a page that somebody else holds. */
static void a_window_opens_though_more_was_moved_than_is_told(void **state)
{
    atomic_store(&understates, true);
    World *world = watch_memory();
    assert_int_equal(*world_word(world, MANY_PAGES - 1, 511), MANY_PAGES);
    world_close(world);
    atomic_store(&understates, false);
    assert_int_equal(recorder_count(world->recorder), 1);
    world_assert_right(world);
    assert_int_equal(world->cost.pinned_pages, 0);
    world_free(world);
}

/* ---- a kernel that will not do ---- */

/* Memory of the kind cannot be watched, and why not has the text and the way
 * out. */
static void assert_refused(RamKind kind, const char *text)
{
    World *world = world_new_empty(kind, N_PAGES);

    world_fill(world);
    g_autoptr(GError) error = world_try_open(world);
    assert_non_null(error);
    assert_non_null(strstr(error->message, text));
    assert_non_null(strstr(error->message, "loadvm --record"));
    world_assert_right(world);
    world_free(world);
}

static void assert_opens(RamKind kind)
{
    World *world = world_new_empty(kind, N_PAGES);

    world_open(world);
    world_close(world);
    world_free(world);
}

static void
a_kernel_that_lacks_something_is_refused_with_a_way_out(void **state)
{
    atomic_store(&lacks, UFFD_CAN_MOVE);
    assert_refused(RAM_ANONYMOUS, "Linux 6.8");
    assert_opens(RAM_SHARED);
    atomic_store(&lacks, UFFD_CAN_MINOR);
    assert_refused(RAM_SHARED, "Linux 5.14");
    assert_opens(RAM_ANONYMOUS);
    atomic_store(&lacks, 0);
}

/* Never touched: there may be none. */
static void reserved_huge_pages_are_refused_with_a_way_out(void **state)
{
    const uint64_t len = UINT64_C(2) << 20;
    World *world = world_new_empty(RAM_HUGETLB, len / PAGE_BYTES);

    munmap(world->memory, len);
    world->memory =
        mmap(NULL, len, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
    if (world->memory == MAP_FAILED) {
        world->memory = NULL;
        world_free(world);
        print_message("skipped: this kernel has no reserved huge pages\n");
        skip();
    }
    g_autoptr(GError) error = world_try_open(world);
    assert_non_null(error);
    assert_non_null(strstr(error->message, "hugetlb"));
    assert_non_null(strstr(error->message, "loadvm --record"));
    world_free(world);
}

static void a_kernel_whose_move_has_faults_is_refused(void **state)
{
    static const KernelFeature features[] = {KERNEL_MOVE, KERNEL_MOVE_HUGE};

    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        atomic_store(&unsafe, 1u << features[i]);
        assert_refused(RAM_ANONYMOUS, kernel_feature_safe_since(features[i]));
        assert_opens(RAM_SHARED);
    }
    atomic_store(&unsafe, 1u << KERNEL_CONTINUE);
    assert_refused(RAM_SHARED, kernel_feature_safe_since(KERNEL_CONTINUE));
    assert_opens(RAM_ANONYMOUS);
    atomic_store(&unsafe, 0);
}

/* ---- memory that has failed ---- */

static sigjmp_buf after_sigbus;

static void on_sigbus(int number)
{
    siglongjmp(after_sigbus, number);
}

static bool raises_sigbus(const volatile uint8_t *byte)
{
    const struct sigaction action = {.sa_handler = on_sigbus};
    struct sigaction before;
    volatile bool raised = true;

    assert_int_equal(sigaction(SIGBUS, &action, &before), 0);
    if (sigsetjmp(after_sigbus, 1) == 0) {
        (void)*byte;
        raised = false;
    }
    assert_int_equal(sigaction(SIGBUS, &before, NULL), 0);
    return raised;
}

static void assert_right_except(const World *world, uint64_t bad)
{
    for (uint64_t page = 0; page < MANY_PAGES; page++) {
        if (page != bad) {
            assert_int_equal(*world_word(world, page, 511), page + 1);
        }
    }
}

/* In the window or after it, only who reads the failed page gets a SIGBUS. */
static void a_page_fails_alone(bool in_window)
{
    const uint64_t bad = MANY_PAGES / 2 + 3;
    World *world = watch_memory();
    uint8_t *page = world->memory + bad * PAGE_BYTES;

    atomic_store(&failed_page, (uintptr_t)page);
    if (in_window) {
        assert_true(raises_sigbus(page));
    }
    world_close(world);
    atomic_store(&failed_page, 0);
    assert_true(raises_sigbus(page));
    assert_right_except(world, bad);
    world_free(world);
}

/* A page that is only busy, and cannot be read at first. */
static void a_page_is_waited_for(bool in_window)
{
    const uint64_t busy = MANY_PAGES / 2 + 3;
    World *world = watch_memory();
    uint8_t *page = world->memory + busy * PAGE_BYTES;

    atomic_store(&busy_page, (uintptr_t)page);
    atomic_store(&n_unreadable, 3);
    if (in_window) {
        assert_false(raises_sigbus(page));
    }
    world_close(world);
    assert_int_equal(atomic_load(&n_unreadable), 0);
    atomic_store(&busy_page, 0);
    world_assert_right(world);
    world_free(world);
}

static void memory_that_fails_in_a_window_fails_for_who_touches_it(void **state)
{
    a_page_fails_alone(true);
}

static void memory_that_fails_in_a_window_lets_it_close(void **state)
{
    a_page_fails_alone(false);
}

static void a_page_that_cannot_be_read_just_now_is_waited_for(void **state)
{
    a_page_is_waited_for(true);
    a_page_is_waited_for(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_kernel_that_lacks_something_is_refused_with_a_way_out),
        cmocka_unit_test(reserved_huge_pages_are_refused_with_a_way_out),
        cmocka_unit_test(a_kernel_whose_move_has_faults_is_refused),
        cmocka_unit_test(memory_is_right_whatever_step_finds_no_memory),
        cmocka_unit_test(memory_is_right_whatever_page_is_busy),
        cmocka_unit_test(memory_is_right_whatever_step_is_invalid),
        cmocka_unit_test(memory_is_right_whatever_step_has_to_be_tried_again),
        cmocka_unit_test(a_window_opens_though_more_was_moved_than_is_told),
        cmocka_unit_test(
            memory_that_fails_in_a_window_fails_for_who_touches_it),
        cmocka_unit_test(memory_that_fails_in_a_window_lets_it_close),
        cmocka_unit_test(a_page_that_cannot_be_read_just_now_is_waited_for),
    };

    if (!have_userfaultfd(UFFD_CAN_MOVE)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
