/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/unix-socket.h"
#include "tests/util/support.h"
#include "util/error.h"

typedef struct World {
    char *directory;
    struct sockaddr_un address;
    int listener; /* takes nobody, and lets one wait */
} World;

static int set_up(void **state)
{
    World *world = g_new0(World, 1);

    world->directory = make_directory();
    world->address.sun_family = AF_UNIX;
    g_snprintf(world->address.sun_path, sizeof(world->address.sun_path), "%s/s",
               world->directory);
    world->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(world->listener,
                          (const struct sockaddr *)&world->address,
                          sizeof(world->address)),
                     0);
    assert_int_equal(listen(world->listener, 0), 0);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;

    close(world->listener);
    remove_directory(world->directory);
    g_free(world);
    return 0;
}

static void one_that_lets_too_many_wait_is_not_waited_for(void **state)
{
    const World *world = *state;
    GError *error = NULL;
    int first, second;

    assert_true(unix_socket_connect(world->address.sun_path, 1, &first, NULL));
    assert_false(
        unix_socket_connect(world->address.sun_path, 1, &second, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "serves one client at a time");
    close(first);
}

static void one_that_is_not_there_is_told_by_its_path(void **state)
{
    GError *error = NULL;
    int fd;

    assert_false(unix_socket_connect("/missing/s", 1, &fd, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "/missing/s: cannot connect");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            one_that_lets_too_many_wait_is_not_waited_for, set_up, tear_down),
        cmocka_unit_test(one_that_is_not_there_is_told_by_its_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
