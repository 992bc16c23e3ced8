/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/unix-socket.h"

#define ANOTHER_ID 65534

/* Listens, tells so, gives up root, tells so, and waits for its end. */
static void listen_and_give_up_root(const char *path, int out, int in)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char byte = 0;

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, 1) < 0 || setgid(ANOTHER_ID) < 0 || setuid(ANOTHER_ID) < 0 ||
        write(out, &byte, 1) != 1 || read(in, &byte, 1) < 0) {
        _exit(1);
    }
    _exit(0);
}

static void a_listener_that_gave_up_root_is_known_by_its_new_user(void **state)
{
    g_autofree char *directory = make_directory();
    g_autofree char *path = g_build_filename(directory, "socket", NULL);
    GError *error = NULL;
    struct ucred peer;
    int to_child[2];
    int from_child[2];
    char byte;
    pid_t pid;
    int fd;

    if (geteuid() != 0) {
        remove_directory(g_steal_pointer(&directory));
        skip();
    }
    assert_int_equal(pipe(to_child) | pipe(from_child), 0);
    pid = fork();
    if (pid == 0) {
        close(to_child[1]);
        listen_and_give_up_root(path, from_child[1], to_child[0]);
    }
    close(from_child[1]);
    assert_int_equal(read(from_child[0], &byte, 1), 1);
    unix_socket_connect(path, &fd, &error);
    assert_no_error(error);

    unix_socket_peer(fd, &peer, &error);
    assert_no_error(error);
    assert_int_equal(peer.uid, 0);
    unix_socket_peer_now(fd, &peer, &error);
    assert_no_error(error);
    assert_int_equal(peer.pid, pid);
    assert_int_equal(peer.uid, ANOTHER_ID);
    assert_int_equal(peer.gid, ANOTHER_ID);

    close(fd);
    close(to_child[0]);
    close(to_child[1]);
    close(from_child[0]);
    waitpid(pid, NULL, 0);
    remove_directory(g_steal_pointer(&directory));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_that_gave_up_root_is_known_by_its_new_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
