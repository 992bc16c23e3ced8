/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void assert_util_error(GError *error, UtilError code, const char *text)
{
    assert_non_null(error);
    if (!g_error_matches(error, UTIL_ERROR, (int)code) ||
        !strstr(error->message, text)) {
        fail_msg("unexpected error (%s, %d): %s",
                 g_quark_to_string(error->domain), error->code, error->message);
    }
    g_error_free(error);
}

void assert_no_error(const GError *error)
{
    if (error) {
        fail_msg("%s", error->message);
    }
}

char *make_directory(void)
{
    char *path = g_dir_make_tmp("preheat-test-XXXXXX", NULL);

    assert_non_null(path);
    return path;
}

static GPtrArray *names_in(const char *path)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GDir *directory = g_dir_open(path, 0, NULL);
    const char *name;

    assert_non_null(directory);
    while ((name = g_dir_read_name(directory))) {
        g_ptr_array_add(names, g_strdup(name));
    }
    g_dir_close(directory);
    return names;
}

void remove_directory(char *path)
{
    g_autoptr(GPtrArray) names = names_in(path);

    for (guint i = 0; i < names->len; i++) {
        g_autofree char *file = g_build_filename(path, names->pdata[i], NULL);

        assert_int_equal(unlink(file), 0);
    }
    assert_int_equal(rmdir(path), 0);
    g_free(path);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *list_directory(const char *path)
{
    g_autoptr(GPtrArray) names = names_in(path);

    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return g_strjoinv(" ", (char **)names->pdata);
}

void make_sockets(int *ret_one, int *ret_other)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    *ret_one = fds[0];
    *ret_other = fds[1];
}

void assert_owned_text(char *text, const char *expected)
{
    if (expected) {
        assert_non_null(text);
        assert_string_equal(text, expected);
    } else {
        assert_null(text);
    }
    g_free(text);
}

int hold_tcp_port(unsigned *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}
