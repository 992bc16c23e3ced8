/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fault threads, on memory that threads touch and give back.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "plugin/pager/fault-loop.h"
#include "tests/pager/ram-kinds.h"

#define PAGE_BYTES 4096
#define N_PAGES    64
#define N_WORKERS  2

/* Memory that is registered and empty, and what its handlers have seen. */
typedef struct Watched {
    uint8_t *memory;
    int uffd;
    FaultLoop *loop;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool shut; /* handlers wait in their call */
    unsigned n_faults;
    unsigned n_at_work;
    unsigned most_at_work;
    bool has_worker[N_WORKERS];
    bool shared_worker; /* two handlers at once had the same */
    unsigned n_removals;
    UffdRemoval removal; /* the last one */

    _Atomic bool heeds_removals;
} Watched;

/* A removal that has been read is not handed on before this is false; the
 * linker's --wrap puts it between. */
static _Atomic bool holds_removals_up;

int __real_uffd_next_message(int fd, UffdMessage *ret_message);
int __wrap_uffd_next_message(int fd, UffdMessage *ret_message);

int __wrap_uffd_next_message(int fd, UffdMessage *ret_message)
{
    int rc = __real_uffd_next_message(fd, ret_message);

    while (rc == 0 && ret_message->is_removal &&
           atomic_load(&holds_removals_up)) {
        sched_yield();
    }
    return rc;
}

static void handle_fault(void *opaque, unsigned worker, const UffdFault *fault)
{
    Watched *watched = opaque;

    pthread_mutex_lock(&watched->lock);
    watched->n_faults++;
    watched->n_at_work++;
    watched->most_at_work = MAX(watched->most_at_work, watched->n_at_work);
    watched->shared_worker |= watched->has_worker[worker];
    watched->has_worker[worker] = true;
    pthread_cond_broadcast(&watched->changed);
    while (watched->shut) {
        pthread_cond_wait(&watched->changed, &watched->lock);
    }
    watched->has_worker[worker] = false;
    watched->n_at_work--;
    pthread_mutex_unlock(&watched->lock);
    while (uffd_zero(watched->uffd, fault->address & -(uint64_t)PAGE_BYTES,
                     PAGE_BYTES) == UFFD_AGAIN) {
        sched_yield();
    }
}

static void handle_removal(void *opaque, const UffdRemoval *removal)
{
    Watched *watched = opaque;

    pthread_mutex_lock(&watched->lock);
    watched->n_removals++;
    watched->removal = *removal;
    pthread_mutex_unlock(&watched->lock);
}

static Watched *watched_new(FaultHandler *handler)
{
    Watched *watched = g_new0(Watched, 1);
    const FaultHandlers handlers = {handler, handle_removal,
                                    &watched->heeds_removals, watched};
    UffdCaps caps;

    pthread_mutex_init(&watched->lock, NULL);
    pthread_cond_init(&watched->changed, NULL);
    watched->memory = mmap(NULL, N_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(watched->memory, MAP_FAILED);
    assert_int_equal(uffd_open_with_removals(&watched->uffd, &caps), 0);
    assert_int_equal(uffd_register(watched->uffd, (uintptr_t)watched->memory,
                                   N_PAGES * PAGE_BYTES, UFFD_MISSING),
                     0);
    assert_int_equal(fault_loop_start_held(watched->uffd, N_WORKERS, &handlers,
                                           &watched->loop),
                     0);
    return watched;
}

static void watched_free(Watched *watched)
{
    fault_loop_stop(watched->loop);
    close(watched->uffd);
    munmap(watched->memory, N_PAGES * PAGE_BYTES);
    pthread_cond_destroy(&watched->changed);
    pthread_mutex_destroy(&watched->lock);
    g_free(watched);
}

static void shut(Watched *watched, bool is_shut)
{
    pthread_mutex_lock(&watched->lock);
    watched->shut = is_shut;
    pthread_cond_broadcast(&watched->changed);
    pthread_mutex_unlock(&watched->lock);
}

static void await_faults(Watched *watched, unsigned n_faults)
{
    pthread_mutex_lock(&watched->lock);
    while (watched->n_faults < n_faults) {
        pthread_cond_wait(&watched->changed, &watched->lock);
    }
    pthread_mutex_unlock(&watched->lock);
}

/* ---- users of the memory ---- */

static void *touch(void *opaque)
{
    (void)*(volatile uint8_t *)opaque;
    return NULL;
}

static pthread_t start_touch(const Watched *watched, unsigned page)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, touch,
                                    watched->memory + page * PAGE_BYTES),
                     0);
    return thread;
}

static void give_back(const Watched *watched, unsigned page, unsigned n_pages)
{
    assert_int_equal(madvise(watched->memory + page * PAGE_BYTES,
                             n_pages * PAGE_BYTES, MADV_DONTNEED),
                     0);
}

static void *give_back_one(void *opaque)
{
    madvise(opaque, PAGE_BYTES, MADV_DONTNEED);
    return NULL;
}

/* ---- the tests ---- */

static void a_removal_is_read_while_every_handler_is_at_work(void **state)
{
    Watched *watched = watched_new(handle_fault);
    pthread_t threads[N_WORKERS + 1];

    atomic_store(&watched->heeds_removals, true);
    fault_loop_release(watched->loop);
    shut(watched, true);
    for (unsigned i = 0; i < N_WORKERS; i++) {
        threads[i] = start_touch(watched, i);
    }
    await_faults(watched, N_WORKERS);
    /* One more, for whom there is no handler. */
    threads[N_WORKERS] = start_touch(watched, N_WORKERS);
    give_back(watched, 10, 5);
    give_back(watched, 20, 1);
    shut(watched, false);
    for (unsigned i = 0; i < N_WORKERS + 1; i++) {
        pthread_join(threads[i], NULL);
    }
    fault_loop_stop(watched->loop);
    watched->loop = NULL;
    assert_int_equal(watched->n_faults, N_WORKERS + 1);
    assert_int_equal(watched->n_removals, 2);
    assert_int_equal(watched->removal.start,
                     (uintptr_t)watched->memory + 20 * PAGE_BYTES);
    assert_int_equal(watched->removal.end,
                     (uintptr_t)watched->memory + 21 * PAGE_BYTES);
    watched_free(watched);
}

static void faults_are_kept_until_the_release(void **state)
{
    Watched *watched = watched_new(handle_fault);
    pthread_t threads[8];

    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = start_touch(watched, i);
    }
    /* Does not wait for anybody. */
    give_back(watched, 0, N_PAGES);
    assert_int_equal(watched->n_faults, 0);
    fault_loop_release(watched->loop);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    fault_loop_stop(watched->loop);
    watched->loop = NULL;
    assert_int_equal(watched->n_faults, G_N_ELEMENTS(threads));
    watched_free(watched);
}

static void a_removal_from_before_they_are_heeded_is_forgotten(void **state)
{
    Watched *watched = watched_new(handle_fault);

    fault_loop_release(watched->loop);
    give_back(watched, 0, N_PAGES);
    /* Read before, and handed on after. */
    atomic_store(&holds_removals_up, true);
    give_back(watched, 0, N_PAGES);
    atomic_store(&watched->heeds_removals, true);
    atomic_store(&holds_removals_up, false);
    give_back(watched, 7, 1);
    fault_loop_stop(watched->loop);
    watched->loop = NULL;
    assert_int_equal(watched->n_removals, 1);
    assert_int_equal(watched->removal.start,
                     (uintptr_t)watched->memory + 7 * PAGE_BYTES);
    watched_free(watched);
}

static void more_faults_than_handlers_are_all_handled(void **state)
{
    Watched *watched = watched_new(handle_fault);
    pthread_t threads[N_PAGES];

    fault_loop_release(watched->loop);
    shut(watched, true);
    for (unsigned i = 0; i < N_PAGES; i++) {
        threads[i] = start_touch(watched, i);
    }
    await_faults(watched, N_WORKERS);
    shut(watched, false);
    for (unsigned i = 0; i < N_PAGES; i++) {
        pthread_join(threads[i], NULL);
    }
    fault_loop_stop(watched->loop);
    watched->loop = NULL;
    assert_int_equal(watched->n_faults, N_PAGES);
    assert_int_equal(watched->most_at_work, N_WORKERS);
    assert_false(watched->shared_worker);
    watched_free(watched);
}

static void a_loop_that_was_never_released_can_be_stopped(void **state)
{
    Watched *watched = watched_new(handle_fault);
    pthread_t thread = start_touch(watched, 3);

    assert_int_equal(uffd_unregister(watched->uffd, (uintptr_t)watched->memory,
                                     N_PAGES * PAGE_BYTES),
                     0);
    pthread_join(thread, NULL);
    assert_int_equal(watched->n_faults, 0);
    watched_free(watched);
}

static unsigned count_fault_threads(void)
{
    g_autoptr(GDir) tasks = g_dir_open("/proc/self/task", 0, NULL);
    unsigned n = 0;
    const char *task;

    while ((task = g_dir_read_name(tasks))) {
        g_autofree char *path =
            g_strdup_printf("/proc/self/task/%s/comm", task);
        g_autofree char *name = NULL;

        n += g_file_get_contents(path, &name, NULL, NULL) &&
             g_str_has_prefix(name, "preheat-fault");
    }
    return n;
}

/* A handler that comes to its page when it is the last thread there is, while
 * somebody gives memory back. */
static void handle_last(void *opaque, unsigned worker, const UffdFault *fault)
{
    Watched *watched = opaque;
    pthread_t giver;

    pthread_mutex_lock(&watched->lock);
    watched->n_faults++;
    pthread_cond_broadcast(&watched->changed);
    pthread_mutex_unlock(&watched->lock);
    while (count_fault_threads() > 1) {
        sched_yield();
    }
    pthread_create(&giver, NULL, give_back_one,
                   watched->memory + 40 * PAGE_BYTES);
    pthread_join(giver, NULL);
    uffd_zero(watched->uffd, fault->address & -(uint64_t)PAGE_BYTES,
              PAGE_BYTES);
}

static void
a_handler_that_waits_for_a_removal_does_not_keep_the_loop_from_ending(
    void **state)
{
    Watched *watched = watched_new(handle_last);
    pthread_t thread;

    fault_loop_release(watched->loop);
    thread = start_touch(watched, 3);
    await_faults(watched, 1);
    fault_loop_stop(watched->loop);
    watched->loop = NULL;
    pthread_join(thread, NULL);
    watched_free(watched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_removal_is_read_while_every_handler_is_at_work),
        cmocka_unit_test(faults_are_kept_until_the_release),
        cmocka_unit_test(a_removal_from_before_they_are_heeded_is_forgotten),
        cmocka_unit_test(more_faults_than_handlers_are_all_handled),
        cmocka_unit_test(a_loop_that_was_never_released_can_be_stopped),
        cmocka_unit_test(
            a_handler_that_waits_for_a_removal_does_not_keep_the_loop_from_ending),
    };

    if (!have_userfaultfd(0)) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
