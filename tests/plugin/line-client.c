/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/plugin/line-client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

LineClient *line_client_new_pair(int *ret_fd)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    *ret_fd = fds[1];
    return line_client_new(fds[0]);
}

LineClient *line_client_new(int fd)
{
    LineClient *client = g_new0(LineClient, 1);

    client->fd = fd;
    client->buffer = g_string_new(NULL);
    return client;
}

void line_client_free(LineClient *client)
{
    close(client->fd);
    g_string_free(client->buffer, TRUE);
    g_free(client);
}

void line_client_send(LineClient *client, const char *bytes, size_t len_bytes)
{
    while (len_bytes > 0) {
        ssize_t n = send(client->fd, bytes, len_bytes, MSG_NOSIGNAL);

        assert_true(n > 0);
        bytes += n;
        len_bytes -= (size_t)n;
    }
}

void line_client_send_fds(LineClient *client, const char *bytes,
                          size_t len_bytes, const int *fds, size_t n_fds)
{
    size_t fds_bytes = n_fds * sizeof(int);
    g_autofree struct cmsghdr *control = g_malloc0(CMSG_SPACE(fds_bytes));
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = 1};
    const struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = CMSG_SPACE(fds_bytes),
    };

    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(fds_bytes);
    memcpy(CMSG_DATA(control), fds, fds_bytes);
    assert_int_equal(sendmsg(client->fd, &message, MSG_NOSIGNAL), 1);
    line_client_send(client, bytes + 1, len_bytes - 1);
}

/* Receive until the buffer has a whole line; its length, or 0 at the end. */
static size_t await_line(LineClient *client)
{
    char piece[65536];
    char *newline;

    while (
        !(newline = memchr(client->buffer->str, '\n', client->buffer->len))) {
        ssize_t n = recv(client->fd, piece, sizeof piece, 0);

        assert_true(n >= 0 || errno == ECONNRESET);
        if (n <= 0) {
            return 0;
        }
        g_string_append_len(client->buffer, piece, n);
    }
    return (size_t)(newline - client->buffer->str) + 1;
}

json_t *line_client_read(LineClient *client)
{
    size_t len = await_line(client);
    json_error_t syntax;

    if (len == 0) {
        return NULL;
    }
    json_t *json = json_loadb(client->buffer->str, len, 0, &syntax);
    if (!json) {
        fail_msg("%s: %s", client->buffer->str, syntax.text);
    }
    g_string_erase(client->buffer, 0, (gssize)len);
    return json;
}

json_t *line_client_read_event(LineClient *client, const char *name)
{
    json_t *event = line_client_read(client);

    assert_non_null(event);
    const char *found = json_string_value(json_object_get(event, "event"));
    json_t *data = json_incref(json_object_get(event, "data"));

    assert_non_null(found);
    assert_string_equal(found, name);
    json_decref(event);
    return data;
}

json_t *line_client_call(LineClient *client, const char *line)
{
    json_t *answer = NULL;

    line_client_send(client, line, strlen(line));
    line_client_send(client, "\n", 1);
    do {
        json_decref(answer);
        answer = line_client_read(client);
    } while (json_object_get(answer, "event"));
    return answer;
}
