/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/json-line.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "util/error.h"

#define READ_CHUNK_BYTES 65536

/* A peer that takes nothing for so long is not there any more. */
#define SEND_TIMEOUT_S 30

struct JsonLine {
    int fd;
    size_t max_line_bytes;
    GByteArray *input; /* read, but not taken */
    size_t searched;   /* so many bytes of input have no newline */
    pid_t sender;      /* who sent what was read last; 0: nobody knows */
};

JsonLine *json_line_new(int fd, size_t max_line_bytes)
{
    const struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
    JsonLine *line = g_new0(JsonLine, 1);

    /* Fails only for what is no socket, and then sending tells. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    line->fd = fd;
    line->max_line_bytes = max_line_bytes;
    line->input = g_byte_array_new();
    return line;
}

void json_line_free(JsonLine *line)
{
    if (!line) {
        return;
    }
    close(line->fd);
    g_byte_array_unref(line->input);
    g_free(line);
}

int json_line_fd(const JsonLine *line)
{
    return line->fd;
}

/* Room for the descriptors that go with one message. */
typedef union FdsRoom {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(JSON_LINE_MAX_FDS * sizeof(int))];
} FdsRoom;

static void attach_fds(struct msghdr *message, FdsRoom *room, const int *fds,
                       size_t n_fds)
{
    struct cmsghdr *header;

    memset(room, 0, sizeof *room);
    message->msg_control = room->bytes;
    message->msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
    memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
}

/* Send what of data the socket takes, and with its first byte the fds. */
static ssize_t send_some(int fd, const char *data, size_t len, const int *fds,
                         size_t n_fds)
{
    struct iovec part = {.iov_base = (void *)data, .iov_len = len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    FdsRoom room;
    ssize_t n;

    if (n_fds > 0) {
        attach_fds(&message, &room, fds, n_fds);
    }
    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

static bool send_all(int fd, const char *data, size_t len, const int *fds,
                     size_t n_fds, GError **error)
{
    while (len > 0) {
        ssize_t n = send_some(fd, data, len, fds, n_fds);

        if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_CLOSED,
                        "the connection was closed");
            return false;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_TIMEOUT,
                        "does not read what is sent to it");
            return false;
        }
        if (n < 0) {
            util_error_set_errno(error, errno, "cannot send");
            return false;
        }
        data += n;
        len -= (size_t)n;
        n_fds = 0;
    }
    return true;
}

bool json_line_send(JsonLine *line, const json_t *message, GError **error)
{
    return json_line_send_fds(line, message, NULL, 0, error);
}

bool json_line_send_fds(JsonLine *line, const json_t *message, const int *fds,
                        size_t n_fds, GError **error)
{
    char *text = json_dumps(message, JSON_COMPACT);
    g_autoptr(GString) bytes = NULL;

    g_assert(text);
    g_assert(n_fds <= JSON_LINE_MAX_FDS);
    bytes = g_string_new(text);
    free(text);
    g_string_append_c(bytes, '\n');
    return send_all(line->fd, bytes->str, bytes->len, fds, n_fds, error);
}

/* Room for what the kernel tells of a sender. */
typedef union SenderRoom {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
} SenderRoom;

static void take_sender(JsonLine *line, struct msghdr *message)
{
    const struct cmsghdr *header = CMSG_FIRSTHDR(message);
    struct ucred sender = {0};

    if (header && header->cmsg_level == SOL_SOCKET &&
        header->cmsg_type == SCM_CREDENTIALS) {
        memcpy(&sender, CMSG_DATA(header), sizeof(sender));
    }
    line->sender = sender.pid;
}

void json_line_note_sender(JsonLine *line)
{
    const int on = 1;

    /* Fails only for what is no socket, and then nobody is known. */
    (void)setsockopt(line->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
}

static ssize_t receive(JsonLine *line, void *data, size_t len)
{
    struct iovec part = {.iov_base = data, .iov_len = len};
    SenderRoom room;
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = room.bytes,
        .msg_controllen = sizeof(room.bytes),
    };
    ssize_t n;

    do {
        n = recvmsg(line->fd, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        take_sender(line, &message);
    }
    return n;
}

pid_t json_line_sender(const JsonLine *line)
{
    return line->sender;
}

bool json_line_fill(JsonLine *line, GError **error)
{
    guint old_len = line->input->len;
    ssize_t n;

    g_byte_array_set_size(line->input, old_len + READ_CHUNK_BYTES);
    n = receive(line, line->input->data + old_len, READ_CHUNK_BYTES);
    g_byte_array_set_size(line->input, old_len + (n > 0 ? (guint)n : 0));

    if (n == 0 || (n < 0 && errno == ECONNRESET)) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_CLOSED,
                    "the connection was closed");
        return false;
    }
    if (n < 0) {
        util_error_set_errno(error, errno, "cannot receive");
        return false;
    }
    return true;
}

static json_t *parse_object(const char *text, size_t len, GError **error)
{
    json_error_t json_error;
    json_t *message =
        json_loadb(text, len, JSON_REJECT_DUPLICATES, &json_error);

    if (!message) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "received invalid JSON: %s", json_error.text);
        return NULL;
    }
    if (!json_is_object(message)) {
        json_decref(message);
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "received JSON that is not an object");
        return NULL;
    }
    return message;
}

bool json_line_take(JsonLine *line, json_t **ret_message, GError **error)
{
    GByteArray *input = line->input;
    const guint8 *end = NULL;
    json_t *message;
    size_t len;

    if (input->len > line->searched) {
        end = memchr(input->data + line->searched, '\n',
                     input->len - line->searched);
    }
    len = end ? (size_t)(end - input->data) + 1 : input->len;
    if (len > line->max_line_bytes) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_PROTOCOL,
                    "received a line longer than %zu bytes",
                    line->max_line_bytes);
        return false;
    }
    if (!end) {
        line->searched = input->len;
        *ret_message = NULL;
        return true;
    }
    message = parse_object((const char *)input->data, len, error);
    if (!message) {
        return false;
    }
    g_byte_array_remove_range(input, 0, (guint)len);
    line->searched = 0;
    *ret_message = message;
    return true;
}
