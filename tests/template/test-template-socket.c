/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The linker puts the test between a template and listen().
 */
#include "tests/util/support.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "template/template-socket.h"

typedef struct World {
    char *folder;
    char *path;
} World;

/* What was there when listen() was called. */
static const char *watched;
static bool was_there;

int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);

int __wrap_listen(int fd, int backlog)
{
    was_there = watched && access(watched, F_OK) == 0;
    return __real_listen(fd, backlog);
}

static int set_up(void **state)
{
    World *world = g_new0(World, 1);

    world->folder = g_dir_make_tmp("preheat-socket-XXXXXX", NULL);
    world->path = g_build_filename(world->folder, "socket", NULL);
    watched = NULL;
    *state = world;
    return 0;
}

/* Nothing else is left there. */
static int tear_down(void **state)
{
    World *world = *state;

    unlink(world->path);
    int failed = rmdir(world->folder);
    g_free(world->path);
    g_free(world->folder);
    g_free(world);
    return failed;
}

static int listen_well(const World *world)
{
    GError *error = NULL;
    int fd = template_socket_listen(world->path, &error);

    assert_no_error(error);
    return fd;
}

static int connect_to(const World *world)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, world->path, sizeof address.sun_path);
    int rc = connect(fd, (struct sockaddr *)&address, sizeof address);
    close(fd);
    return rc;
}

static void who_finds_a_socket_can_connect_to_it(void **state)
{
    const World *world = *state;

    watched = world->path;
    int fd = listen_well(world);
    assert_false(was_there);
    assert_int_equal(connect_to(world), 0);
    close(fd);
}

static void one_that_nobody_listens_on_is_replaced(void **state)
{
    const World *world = *state;

    close(listen_well(world));
    assert_int_equal(connect_to(world), -1);
    int fd = listen_well(world);
    assert_int_equal(connect_to(world), 0);
    close(fd);
}

static void what_is_anothers_is_left_alone(void **state)
{
    const World *world = *state;
    GError *error = NULL;
    int fd = listen_well(world);

    assert_int_equal(template_socket_listen(world->path, &error), -1);
    assert_util_error(error, UTIL_ERROR_FAILED, "already in use");
    error = NULL;
    assert_int_equal(connect_to(world), 0);
    close(fd);
    unlink(world->path);
    assert_true(g_file_set_contents(world->path, "text", -1, NULL));
    assert_int_equal(template_socket_listen(world->path, &error), -1);
    assert_util_error(error, UTIL_ERROR_FAILED, "already in use");
    assert_true(g_file_test(world->path, G_FILE_TEST_IS_REGULAR));
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(who_finds_a_socket_can_connect_to_it),
        TEST(one_that_nobody_listens_on_is_replaced),
        TEST(what_is_anothers_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
