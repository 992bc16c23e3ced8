/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/service.h"

/* A service manager that listens on an abstract socket, whose name the kernel
 * chooses; *ret_name is for g_free(). */
static int listen_abstract(char **ret_name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(address.sun_family);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    len = sizeof(address);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_name = g_strdup_printf(
        "@%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path) - 1),
        address.sun_path + 1);
    return fd;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    assert_int_equal(
        bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void assert_hears(int fd, const char *expected)
{
    char text[100] = "";

    assert_true(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
    assert_string_equal(text, expected);
}

static void an_abstract_socket_hears_what_is_said(void **state)
{
    (void)state;
    g_autofree char *name = NULL;
    int fd = listen_abstract(&name);

    g_setenv("NOTIFY_SOCKET", name, TRUE);
    service_notify("READY=%d\nSTATUS=%s", 1, "waits");
    assert_hears(fd, "READY=1\nSTATUS=waits");
    close(fd);
}

static void a_status_is_one_line_whatever_its_words(void **state)
{
    (void)state;
    g_autofree char *name = NULL;
    int fd = listen_abstract(&name);

    g_setenv("NOTIFY_SOCKET", name, TRUE);
    service_notify_status("vm\nMAINPID=1: is full");
    assert_hears(fd, "STATUS=vm MAINPID=1: is full");
    close(fd);
}

static void a_socket_with_a_path_hears_what_is_said(void **state)
{
    (void)state;
    g_autofree char *folder = g_dir_make_tmp("preheat-service-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "notify", NULL);
    int fd = listen_at(path);

    g_setenv("NOTIFY_SOCKET", path, TRUE);
    service_notify("STOPPING=1");
    assert_hears(fd, "STOPPING=1");
    close(fd);
    unlink(path);
    rmdir(folder);
}

static void where_nobody_listens_nothing_happens(void **state)
{
    (void)state;
    g_autofree char *too_long = g_strnfill(200, 'x');
    const char *names[] = {"", "vsock:2:1234", "/nowhere/at/all", too_long};

    too_long[0] = '/';
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_setenv("NOTIFY_SOCKET", names[i], TRUE);
        service_notify("READY=1");
    }
    g_unsetenv("NOTIFY_SOCKET");
    service_notify("READY=1");
}

/* Until the kernel takes no more. */
static void fill(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path + 1, name + 1, strlen(name + 1));
    assert_int_equal(
        connect(
            fd, (const struct sockaddr *)&address,
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
        0);
    while (send(fd, "X=1", 3, MSG_DONTWAIT) == 3) {
    }
    assert_int_equal(errno, EAGAIN);
    close(fd);
}

/* Nobody waits for it for ever. */
static void a_manager_that_does_not_read_holds_nobody_up(void **state)
{
    (void)state;
    g_autofree char *name = NULL;
    int fd = listen_abstract(&name);
    char text[100];

    g_setenv("NOTIFY_SOCKET", name, TRUE);
    fill(name);
    service_notify_status("is being filled");
    service_notify("READY=1");
    while (recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0) {
        assert_memory_equal(text, "X=1", 3);
    }
    service_notify("STOPPING=1");
    assert_hears(fd, "STOPPING=1");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_abstract_socket_hears_what_is_said),
        cmocka_unit_test(a_status_is_one_line_whatever_its_words),
        cmocka_unit_test(a_socket_with_a_path_hears_what_is_said),
        cmocka_unit_test(where_nobody_listens_nothing_happens),
        cmocka_unit_test(a_manager_that_does_not_read_holds_nobody_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
