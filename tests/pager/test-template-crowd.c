/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template with many clones at once, some of which go.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/template-protocol.h"
#include "tests/pager/ram-kinds.h"
#include "tests/pager/template-world.h"

/* More than a template begins with threads for. */
#define N_CLIENTS 12

/* And still not more than it may have. */
#define N_HANGING 60

#define BLOCK 1

/* A template no read of which ends, and a page that only clients will ask
 * for. */
static TemplateWorld *world_new_shut(uint64_t *ret_page)
{
    TemplateWorld *world = template_world_new();

    fake_source_shut(world->fake, 1);
    template_world_start(world);
    fake_source_await_waiting(world->fake);
    *ret_page =
        template_world_find_page(world, BLOCK, TEMPLATE_N_PAGES - 200, true);
    return world;
}

/* Wait for a message of one of the kinds. */
static TemplateMessage receive(int fd, TemplateKind kind, TemplateKind other)
{
    TemplateMessage message;

    do {
        assert_int_equal(template_receive(fd, &message, NULL, NULL), 0);
    } while (message.kind != kind && message.kind != other);
    return message;
}

static int join(const TemplateWorld *world)
{
    const TemplateMessage hello = {.kind = TEMPLATE_HELLO,
                                   .error = (uint32_t)getpid(),
                                   .block = TEMPLATE_ROLE_CLONE,
                                   .page = TEMPLATE_VERSION};
    int fd = template_world_connect(world);

    assert_int_equal(template_send(fd, &hello, NULL, NULL, 0), 0);
    receive(fd, TEMPLATE_WELCOME, TEMPLATE_WELCOME);
    return fd;
}

/* Ask for the page, and wait until the template knows. */
static void want(int fd, uint64_t page)
{
    const TemplateMessage question = {
        .kind = TEMPLATE_WANT, .block = BLOCK, .page = page};
    const TemplateMessage status = {.kind = TEMPLATE_STATUS};

    assert_int_equal(template_send(fd, &question, NULL, NULL, 0), 0);
    assert_int_equal(template_send(fd, &status, NULL, NULL, 0), 0);
    receive(fd, TEMPLATE_ANSWER, TEMPLATE_ANSWER);
}

static void assert_comes(int fd, uint64_t page)
{
    const TemplateMessage answer = receive(fd, TEMPLATE_HAVE, TEMPLATE_FAILED);

    assert_int_equal(answer.kind, TEMPLATE_HAVE);
    assert_int_equal(answer.block, BLOCK);
    assert_int_equal(answer.page, page);
}

/* How often it was read by itself. */
static unsigned count_reads(const TemplateWorld *world, uint64_t page)
{
    size_t n_reads = fake_source_n_reads(world->fake);
    unsigned n = 0;

    for (size_t i = 0; i < n_reads; i++) {
        PageSpan span = fake_source_read_at(world->fake, i);

        n +=
            span.block == BLOCK && span.first_page == page && span.n_pages == 1;
    }
    return n;
}

static void await_read(const TemplateWorld *world, uint64_t page)
{
    while (count_reads(world, page) == 0) {
        sched_yield();
    }
}

/* ---- the tests ---- */

static void a_page_that_many_clones_want_is_read_once(void **state)
{
    (void)state;
    uint64_t page;
    TemplateWorld *world = world_new_shut(&page);
    int fds[N_CLIENTS];

    for (size_t i = 0; i < N_CLIENTS; i++) {
        fds[i] = join(world);
        want(fds[i], page);
    }
    await_read(world, page);
    fake_source_open(world->fake);
    for (size_t i = 0; i < N_CLIENTS; i++) {
        assert_comes(fds[i], page);
        close(fds[i]);
    }
    assert_int_equal(count_reads(world, page), 1);
    template_world_free(world);
}

static void a_page_that_many_want_is_in_nobodys_way(void **state)
{
    (void)state;
    uint64_t page;
    TemplateWorld *world = world_new_shut(&page);
    uint64_t other = template_world_find_page(world, BLOCK, page + 1, true);
    int fds[N_CLIENTS];

    for (size_t i = 0; i < N_CLIENTS; i++) {
        fds[i] = join(world);
        want(fds[i], page);
    }
    want(fds[0], other);
    await_read(world, other);
    fake_source_open(world->fake);
    for (size_t i = 0; i < N_CLIENTS; i++) {
        close(fds[i]);
    }
    template_world_free(world);
}

/* No read of these ends. */
static void pages_that_hang_are_in_nobodys_way(void **state)
{
    (void)state;
    uint64_t first;
    TemplateWorld *world = world_new_shut(&first);
    uint64_t page = first;
    int fd = join(world);

    for (size_t i = 0; i < N_HANGING; i++) {
        page = template_world_find_page(world, BLOCK, page + 1, true);
        want(fd, page);
        await_read(world, page);
    }
    fake_source_open(world->fake);
    close(fd);
    template_world_free(world);
}

/* It may have come because the page can be read again. */
static void for_who_comes_while_a_page_fails_it_is_tried_again(void **state)
{
    (void)state;
    uint64_t page;
    TemplateWorld *world = world_new_shut(&page);
    int first = join(world);
    int late = join(world);

    fake_source_break_first_of(world->fake, 1);
    want(first, page);
    await_read(world, page);
    want(late, page);
    fake_source_open(world->fake);
    assert_comes(late, page);
    fake_source_mend(world->fake);
    close(first);
    close(late);
    template_world_free(world);
}

static void a_clone_that_goes_while_it_waits_harms_no_other(void **state)
{
    (void)state;
    uint64_t page;
    TemplateWorld *world = world_new_shut(&page);
    int one = join(world);
    int another = join(world);
    int stays = join(world);

    want(one, page);
    await_read(world, page);
    want(another, page);
    want(stays, page);
    close(one);
    close(another);
    fake_source_open(world->fake);
    assert_comes(stays, page);
    template_world_await_state(world, "full");
    close(stays);
    template_world_free(world);
}

static void a_clone_that_goes_before_it_asks_is_forgotten(void **state)
{
    (void)state;
    uint64_t page;
    TemplateWorld *world = world_new_shut(&page);
    bool is_listed = true;

    close(join(world));
    while (is_listed) {
        g_autofree char *status = template_world_status(world);

        is_listed = strstr(status, "\"clones\":[]") == NULL;
    }
    fake_source_open(world->fake);
    TemplateClone *clone = template_world_clone(world);
    template_clone_await_loaded(clone);
    template_clone_assert_right(clone);
    template_clone_free(clone);
    template_world_free(world);
}

static void a_template_of_very_many_clones_tells_its_status(void **state)
{
    (void)state;
    struct rlimit limit;
    int fds[1500];

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 3 * G_N_ELEMENTS(fds)) {
        print_message("no more than %d descriptors here\n",
                      (int)limit.rlim_max);
        skip();
    }
    TemplateWorld *world = template_world_new_full();
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = join(world);
    }
    g_autofree char *status = template_world_status(world);
    assert_non_null(strstr(status, "\"clone-count\":1500,"));
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        close(fds[i]);
    }
    template_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_that_many_clones_want_is_read_once),
        cmocka_unit_test(a_page_that_many_want_is_in_nobodys_way),
        cmocka_unit_test(pages_that_hang_are_in_nobodys_way),
        cmocka_unit_test(for_who_comes_while_a_page_fails_it_is_tried_again),
        cmocka_unit_test(a_clone_that_goes_while_it_waits_harms_no_other),
        cmocka_unit_test(a_clone_that_goes_before_it_asks_is_forgotten),
        cmocka_unit_test(a_template_of_very_many_clones_tells_its_status),
    };

    return have_userfaultfd(UFFD_CAN_SHARED)
               ? cmocka_run_group_tests(tests, NULL, NULL)
               : 77;
}
