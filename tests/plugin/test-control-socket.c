/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The control socket under its abstract name: who may connect, and how many.
 */
#include "tests/plugin/control-world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/control-protocol.h"

#define NOBODY 65534

static bool connect_socket(int fd, pid_t pid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat ns;

    assert_int_equal(stat("/proc/self/ns/pid", &ns), 0);
    int len =
        snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
                 CONTROL_SOCKET_NAME_FORMAT, (uintmax_t)ns.st_ino, (int)pid);
    return connect(fd, (struct sockaddr *)&address,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                               (size_t)len)) == 0;
}

static int connect_to(pid_t pid)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && !connect_socket(fd, pid)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int listen_once(void **state)
{
    World *world = world_new();

    *state = world;
    return control_listen(world->control);
}

static void the_abstract_socket_serves_its_own_user(void **state)
{
    LineClient *clients[3];

    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = line_client_new(connect_to(getpid()));
        read_greeting(clients[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        assert_answer(line_client_call(clients[i], "{\"execute\": \"echo\"}"),
                      "{'return': {}}");
        line_client_free(clients[i]);
    }
}

static void only_one_listens_on_the_abstract_socket(void **state)
{
    World *world = world_new();

    assert_int_equal(control_listen(world->control), -EADDRINUSE);
    world_end(world);
}

#define MAX_CLIENTS 32

static void for_one_client_too_many_the_idlest_one_goes(void **state)
{
    LineClient *clients[MAX_CLIENTS + 2];

    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        clients[i] = line_client_new(connect_to(getpid()));
        read_greeting(clients[i]);
    }
    for (size_t i = MAX_CLIENTS; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = line_client_new(connect_to(getpid()));
        read_greeting(clients[i]);
    }
    assert_null(line_client_read(clients[0]));
    assert_null(line_client_read(clients[1]));
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        if (i > 1) {
            assert_answer(
                line_client_call(clients[i], "{\"execute\": \"echo\"}"),
                "{'return': {}}");
        }
        line_client_free(clients[i]);
    }
}

static void one_client_too_many_is_told_where_all_are_busy(void **state)
{
    World *world = *state;
    LineClient *clients[MAX_CLIENTS];
    json_t *complaint = NULL;

    set_gate(world, true);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        clients[i] = line_client_new(connect_to(getpid()));
        read_greeting(clients[i]);
        line_client_send(clients[i], PASS_COMMAND, strlen(PASS_COMMAND));
    }
    await_at_gate(world, MAX_CLIENTS);
    LineClient *last = line_client_new(connect_to(getpid()));
    complaint = line_client_read(last);
    assert_error(complaint, "too many clients");
    line_client_free(last);
    set_gate(world, false);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        assert_answer(line_client_read(clients[i]), "{'return': {}}");
        line_client_free(clients[i]);
    }
}

/* Take every descriptor that this process may still have. */
static void take_all_descriptors(GArray *taken)
{
    int fd;

    while ((fd = dup(STDERR_FILENO)) >= 0) {
        g_array_append_val(taken, fd);
    }
    assert_int_equal(errno, EMFILE);
}

static void give_back_descriptors(GArray *taken)
{
    for (guint i = 0; i < taken->len; i++) {
        close(g_array_index(taken, int, i));
    }
    g_array_unref(taken);
}

static void clients_are_served_where_no_descriptors_are_left(void **state)
{
    struct rlimit before, few;
    LineClient *clients[4];
    GArray *taken = g_array_new(FALSE, FALSE, sizeof(int));

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 256;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] =
            line_client_new(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    }
    /* The first gets what there is in reserve, and for a further one, the
     * first has to go. */
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        take_all_descriptors(taken);
        assert_true(connect_socket(clients[i]->fd, getpid()));
        read_greeting(clients[i]);
        assert_answer(line_client_call(clients[i], "{\"execute\": \"echo\"}"),
                      "{'return': {}}");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        line_client_free(clients[i]);
    }
    give_back_descriptors(taken);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    the_abstract_socket_serves_its_own_user(NULL);
}

/* In a child process: 0 if the socket says nothing to another user. */
static int ask_as_nobody(pid_t pid)
{
    char byte;

    if (setresuid(NOBODY, NOBODY, NOBODY) < 0) {
        return 2;
    }
    int fd = connect_to(pid);
    return fd >= 0 && recv(fd, &byte, 1, 0) == 0 ? 0 : 1;
}

static void another_user_gets_nothing(void **state)
{
    pid_t pid = getpid();
    int status;

    if (geteuid() != 0) {
        print_message("skipped: only root can be another user\n");
        skip();
    }
    pid_t child = fork();
    if (child == 0) {
        _exit(ask_as_nobody(pid));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First, so that no client is about to leave. */
        cmocka_unit_test(for_one_client_too_many_the_idlest_one_goes),
        cmocka_unit_test(the_abstract_socket_serves_its_own_user),
        cmocka_unit_test(one_client_too_many_is_told_where_all_are_busy),
        cmocka_unit_test(clients_are_served_where_no_descriptors_are_left),
        cmocka_unit_test(only_one_listens_on_the_abstract_socket),
        cmocka_unit_test(another_user_gets_nothing),
    };

    return cmocka_run_group_tests(tests, listen_once, NULL);
}
