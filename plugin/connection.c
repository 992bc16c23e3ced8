/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/connection.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "formats/control-protocol.h"

/* So much may wait for a client that reads an answer: that, and events. */
#define MAX_UNSENT_BYTES (4 * CONTROL_MAX_LINE_BYTES)

/* A client that takes nothing for so long is gone, as far as we can tell. */
#define DRAIN_TIMEOUT_MS 5000

struct Connection {
    int fd; /* constant */

    pthread_mutex_t lock; /* guards these two, and is held while sending */
    GByteArray *unsent;   /* what the client has not taken yet */
    bool draining;        /* the reader waits until it has */

    /* The reader's. */
    GString *received;
    size_t n_taken;  /* bytes of received that are lines given out */
    GArray *arrived; /* of int */
};

Connection *connection_new(int fd)
{
    Connection *connection = g_new0(Connection, 1);

    connection->fd = fd;
    pthread_mutex_init(&connection->lock, NULL);
    connection->unsent = g_byte_array_new();
    connection->received = g_string_new(NULL);
    connection->arrived = g_array_new(FALSE, FALSE, sizeof(int));
    return connection;
}

static void close_arrived(Connection *connection)
{
    for (guint i = 0; i < connection->arrived->len; i++) {
        close(g_array_index(connection->arrived, int, i));
    }
    g_array_set_size(connection->arrived, 0);
}

void connection_free(Connection *connection)
{
    close_arrived(connection);
    close(connection->fd);
    g_array_unref(connection->arrived);
    g_string_free(connection->received, TRUE);
    g_byte_array_unref(connection->unsent);
    pthread_mutex_destroy(&connection->lock);
    g_free(connection);
}

void connection_cut(Connection *connection)
{
    shutdown(connection->fd, SHUT_RDWR);
}

GArray *connection_arrived(Connection *connection)
{
    return connection->arrived;
}

/* ---- sending ---- */

/* Returns false when the connection has ended. */
static bool flush_locked(Connection *connection)
{
    GByteArray *unsent = connection->unsent;

    while (unsent->len > 0) {
        ssize_t n = send(connection->fd, unsent->data, unsent->len,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        }
        g_byte_array_remove_range(unsent, 0, (guint)n);
    }
    return true;
}

/* What cannot be said in full is not said in part. */
static void cut_locked(Connection *connection)
{
    g_byte_array_set_size(connection->unsent, 0);
    connection_cut(connection);
}

/* Returns false when the connection has ended. */
static bool send_locked(Connection *connection, const json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);

    if (!text || connection->unsent->len > MAX_UNSENT_BYTES) {
        free(text);
        return false;
    }
    g_byte_array_append(connection->unsent, (const guint8 *)text,
                        (guint)strlen(text));
    g_byte_array_append(connection->unsent, (const guint8 *)"\n", 1);
    free(text);
    return flush_locked(connection);
}

void connection_tell(Connection *connection, const json_t *message)
{
    pthread_mutex_lock(&connection->lock);
    if (!send_locked(connection, message) ||
        (connection->unsent->len > 0 && !connection->draining)) {
        cut_locked(connection);
    }
    pthread_mutex_unlock(&connection->lock);
}

/* Wait until the client takes more. */
static bool await_client(Connection *connection)
{
    struct pollfd can_take = {.fd = connection->fd, .events = POLLOUT};
    int n = poll(&can_take, 1, DRAIN_TIMEOUT_MS);

    return n > 0 || (n < 0 && errno == EINTR);
}

void connection_answer(Connection *connection, const json_t *message)
{
    pthread_mutex_lock(&connection->lock);
    bool ok = send_locked(connection, message);

    connection->draining = true;
    while (ok && connection->unsent->len > 0) {
        pthread_mutex_unlock(&connection->lock);
        ok = await_client(connection);
        pthread_mutex_lock(&connection->lock);
        ok = ok && flush_locked(connection);
    }
    connection->draining = false;
    if (!ok) {
        cut_locked(connection);
    }
    pthread_mutex_unlock(&connection->lock);
}

/* ---- reading ---- */

/* Room for one descriptor more than may arrive: one too many is noticed. */
typedef union FdsRoom {
    struct cmsghdr header;
    char bytes[CMSG_SPACE((CONTROL_MAX_DESCRIPTORS + 1) * sizeof(int))];
} FdsRoom;

/* Keep the descriptors that came with message.  Returns false where they are
 * too many. */
static bool keep_arrived(Connection *connection, struct msghdr *message)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == SOL_SOCKET &&
            header->cmsg_type == SCM_RIGHTS) {
            g_array_append_vals(
                connection->arrived, CMSG_DATA(header),
                (guint)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int)));
        }
    }
    return !(message->msg_flags & MSG_CTRUNC) &&
           connection->arrived->len <= CONTROL_MAX_DESCRIPTORS;
}

/* Wait for more.  Returns false at the end. */
static bool receive(Connection *connection, const char **ret_complaint)
{
    char piece[4096];
    struct iovec part = {.iov_base = piece, .iov_len = sizeof piece};
    FdsRoom room;
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = room.bytes,
        .msg_controllen = sizeof room.bytes,
    };
    ssize_t n;

    do {
        n = recvmsg(connection->fd, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return false;
    }
    if (!keep_arrived(connection, &message)) {
        *ret_complaint = "too many descriptors came: more than " G_STRINGIFY(
            CONTROL_MAX_DESCRIPTORS) " that no command has taken, or than "
                                     "this process may have";
        return false;
    }
    g_string_append_len(connection->received, piece, n);
    return true;
}

/* What was given out is done with. */
static void forget_taken(Connection *connection)
{
    g_string_erase(connection->received, 0, (gssize)connection->n_taken);
    connection->n_taken = 0;
    /* They come with a line's first byte: nobody is left to take them. */
    if (connection->received->len == 0) {
        close_arrived(connection);
    }
}

bool connection_read_line(Connection *connection, const char **ret_line,
                          size_t *ret_len_bytes, const char **ret_complaint)
{
    GString *received = connection->received;
    const char *newline;

    forget_taken(connection);
    while (!(newline = memchr(received->str, '\n', received->len)) &&
           received->len < CONTROL_MAX_LINE_BYTES) {
        if (!receive(connection, ret_complaint)) {
            return false;
        }
    }
    if (!newline || newline - received->str >= CONTROL_MAX_LINE_BYTES) {
        *ret_complaint = "the line is too long";
        return false;
    }
    *ret_line = received->str;
    *ret_len_bytes = (size_t)(newline - received->str);
    connection->n_taken = *ret_len_bytes + 1;
    return true;
}
