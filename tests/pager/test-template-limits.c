/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Templates that hang, and those that lack descriptors.
 */
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/template-protocol.h"
#include "tests/pager/ram-kinds.h"
#include "tests/pager/template-world.h"

/* ---- in place of the real ones ---- */

static _Atomic unsigned patience_ms; /* that was asked for */
static _Atomic bool is_impatient;    /* does not wait for so long */
static _Atomic bool lacks_files;     /* may open none once there is an answer */

int __real_template_await(int fd, unsigned ms);
int __wrap_template_await(int fd, unsigned ms);

int __wrap_template_await(int fd, unsigned ms)
{
    atomic_store(&patience_ms, ms);
    int rc = __real_template_await(fd, atomic_load(&is_impatient) ? 1 : ms);
    struct rlimit limit;

    if (!atomic_exchange(&lacks_files, false)) {
        return rc;
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return rc;
}

static _Atomic int listener;   /* that had no descriptor left; -1: had one */
static _Atomic bool has_none;  /* it has none */
static _Atomic bool was_asked; /* it was asked again at once */
static sem_t next_round;

int __real_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    if (atomic_load(&has_none)) {
        atomic_store(&listener, fd);
        errno = EMFILE;
        return -1;
    }
    return __real_accept4(fd, address, len, flags);
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    int refused = atomic_exchange(&listener, -1);

    if (refused >= 0) {
        for (nfds_t i = 0; i < n; i++) {
            if (fds[i].fd == refused) {
                atomic_store(&was_asked, true);
            }
        }
        sem_post(&next_round);
    }
    return __real_poll(fds, n, timeout_ms);
}

static _Atomic bool holds_up; /* giving back memory of a block's length */
static sem_t held_up;
static sem_t go_on;

int __real_munmap(void *memory, size_t len_bytes);
int __wrap_munmap(void *memory, size_t len_bytes);

int __wrap_munmap(void *memory, size_t len_bytes)
{
    if (len_bytes == TEMPLATE_N_PAGES * FAKE_PAGE_BYTES &&
        atomic_exchange(&holds_up, false)) {
        sem_post(&held_up);
        sem_wait(&go_on);
    }
    return __real_munmap(memory, len_bytes);
}

/* ---- the tests ---- */

static void a_template_that_does_not_answer_is_not_waited_for(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new();
    g_autoptr(GError) error = NULL;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    atomic_store(&is_impatient, true);
    assert_null(template_source_new(world->image, ends[0], &error));
    assert_int_equal(atomic_load(&patience_ms), TEMPLATE_PATIENCE_MS);
    g_autofree char *process = g_strdup_printf("kill -CONT %d", (int)getpid());
    assert_non_null(strstr(error->message, process));
    assert_non_null(strstr(error->message, "without --template"));
    close(ends[0]);
    close(ends[1]);
    template_world_free(world);
}

static void a_template_that_hangs_up_is_told_as_that(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new();
    g_autoptr(GError) error = NULL;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    close(ends[1]);
    assert_null(template_source_new(world->image, ends[0], &error));
    assert_non_null(strstr(error->message, "it has hung up"));
    assert_non_null(strstr(error->message, "without --template"));
    close(ends[0]);
    template_world_free(world);
}

static void a_template_without_descriptors_does_not_ask_at_once(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new();

    template_world_start(world);
    atomic_store(&has_none, true);
    int waiting = template_world_connect(world);
    sem_wait(&next_round);
    assert_false(atomic_load(&was_asked));
    atomic_store(&has_none, false);
    close(waiting);
    template_world_free(world);
}

static void who_waits_for_a_descriptor_is_served_when_there_is_one(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_full();

    atomic_store(&has_none, true);
    int waiting = template_world_connect(world);
    sem_wait(&next_round);
    atomic_store(&has_none, false);
    g_autofree char *status = template_world_status(world);
    assert_non_null(strstr(status, "full"));
    TemplateClone *clone = template_world_clone(world);
    template_clone_await_loaded(clone);
    template_clone_assert_right(clone);
    template_clone_free(clone);
    close(waiting);
    template_world_free(world);
}

/* A clone that may not open one file more. */
static void a_clone_without_descriptors_is_told_what_it_lacks(void **state)
{
    (void)state;
    TemplateWorld *world = template_world_new_full();
    int fd = template_world_connect(world);
    struct rlimit before;
    g_autoptr(GError) error = NULL;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    atomic_store(&lacks_files, true);
    assert_null(template_source_new(world->image, fd, &error));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_non_null(strstr(error->message, "ulimit -n"));
    assert_non_null(strstr(error->message, "without --template"));
    close(fd);
    template_world_free(world);
}

static void a_template_answers_while_it_gives_back_what_filled_it(void **state)
{
    (void)state;
    const TemplateMessage question = {.kind = TEMPLATE_STATUS};
    TemplateWorld *world = template_world_new();

    atomic_store(&holds_up, true);
    template_world_start(world);
    int fd = template_world_connect(world);
    sem_wait(&held_up);
    assert_int_equal(template_send(fd, &question, NULL, NULL, 0), 0);
    /* It would never answer if it waited. */
    assert_int_equal(template_await(fd, TEMPLATE_PATIENCE_MS), 0);
    TemplateClone *clone = template_world_clone(world);
    template_clone_await_loaded(clone);
    template_clone_assert_right(clone);
    sem_post(&go_on);
    template_clone_free(clone);
    close(fd);
    template_world_free(world);
}

static int setup(void **state)
{
    (void)state;
    atomic_store(&listener, -1);
    atomic_store(&was_asked, false);
    atomic_store(&is_impatient, false);
    return sem_init(&next_round, 0, 0) | sem_init(&held_up, 0, 0) |
           sem_init(&go_on, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            a_template_that_does_not_answer_is_not_waited_for, setup),
        cmocka_unit_test_setup(a_template_that_hangs_up_is_told_as_that, setup),
        cmocka_unit_test_setup(
            a_template_without_descriptors_does_not_ask_at_once, setup),
        cmocka_unit_test_setup(
            who_waits_for_a_descriptor_is_served_when_there_is_one, setup),
        cmocka_unit_test_setup(
            a_clone_without_descriptors_is_told_what_it_lacks, setup),
        cmocka_unit_test_setup(
            a_template_answers_while_it_gives_back_what_filled_it, setup),
    };

    return have_userfaultfd(UFFD_CAN_SHARED)
               ? cmocka_run_group_tests(tests, NULL, NULL)
               : 77;
}
