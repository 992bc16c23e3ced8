/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/control.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "util/thread.h"

/* A client that does not read for so long is cut off: those who send events
 * have better things to do than wait for it. */
#define SEND_TIMEOUT_S 2

struct Control {
    ControlHandler *handler;
    void *opaque;
    int listener; /* -1: none */

    pthread_mutex_t lock;   /* guards connections, and is held while sending */
    GPtrArray *connections; /* of Connection */
};

/* Belongs to its thread, which frees it. */
typedef struct Connection {
    Control *control;
    ControlHangup *hangup;
    int fd;
    GArray *arrived; /* of int: descriptors that no command has taken yet */
} Connection;

/* Send one line.  A failure is the connection's end, which its thread then
 * sees by itself. */
static void send_line_locked(Connection *connection, json_t *message)
{
    g_autofree char *text = NULL;
    char *dump = json_dumps(message, JSON_COMPACT);
    size_t sent = 0;

    text = g_strconcat(dump ? dump : "{}", "\n", NULL);
    free(dump);
    size_t len = strlen(text);
    while (sent < len) {
        ssize_t n = send(connection->fd, text + sent, len - sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            shutdown(connection->fd, SHUT_RDWR);
            return;
        }
        sent += (size_t)n;
    }
}

static void send_and_unref(Connection *connection, json_t *message)
{
    pthread_mutex_lock(&connection->control->lock);
    send_line_locked(connection, message);
    pthread_mutex_unlock(&connection->control->lock);
    json_decref(message);
}

static json_t *error_answer(const char *text)
{
    return json_pack("{s:{s:s, s:s}}", "error", "class", "GenericError", "desc",
                     text);
}

static json_t *execute(Connection *connection, const char *command,
                       const json_t *arguments, GError **error)
{
    Control *control = connection->control;
    Descriptors *descriptors =
        descriptors_take(arguments, connection->arrived, error);
    json_t *result = NULL;

    if (descriptors) {
        result = control->handler(control->opaque, command, arguments,
                                  descriptors, error);
    }
    descriptors_free(descriptors);
    return result;
}

static json_t *carry_out(Connection *connection, const json_t *request)
{
    const char *command =
        json_string_value(json_object_get(request, "execute"));
    const json_t *arguments = json_object_get(request, "arguments");
    g_autoptr(GError) error = NULL;

    if (!command || (arguments && !json_is_object(arguments))) {
        return error_answer("a command is {\"execute\": NAME, "
                            "\"arguments\": {…}}");
    }
    json_t *none = json_object();
    json_t *result =
        execute(connection, command, arguments ? arguments : none, &error);
    json_decref(none);
    return result ? json_pack("{s:o}", "return", result)
                  : error_answer(error->message);
}

static void answer_line(Connection *connection, const char *line, size_t len)
{
    json_error_t syntax;
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &syntax);
    json_t *id = json_object_get(request, "id");
    json_t *answer;

    if (json_is_object(request)) {
        answer = carry_out(connection, request);
    } else {
        answer = error_answer(request ? "not a JSON object" : syntax.text);
    }
    if (id) {
        json_object_set(answer, "id", id);
    }
    send_and_unref(connection, answer);
    json_decref(request);
}

static void close_arrived(Connection *connection)
{
    for (guint i = 0; i < connection->arrived->len; i++) {
        close(g_array_index(connection->arrived, int, i));
    }
    g_array_set_size(connection->arrived, 0);
}

/* Answer all whole lines in buffer and leave the rest there. */
static void answer_lines(Connection *connection, GString *buffer)
{
    char *newline;

    while ((newline = memchr(buffer->str, '\n', buffer->len))) {
        size_t len = (size_t)(newline - buffer->str);

        answer_line(connection, buffer->str, len);
        g_string_erase(buffer, 0, (gssize)len + 1);
    }
    /* They come with a line's first byte: nobody is left to take them. */
    if (buffer->len == 0) {
        close_arrived(connection);
    }
}

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

/* What came into piece, which has room for len bytes; 0 at the end.  Sets
 * *ret_too_many where more descriptors came than may. */
static size_t receive(Connection *connection, char *piece, size_t len,
                      bool *ret_too_many)
{
    struct iovec part = {.iov_base = piece, .iov_len = len};
    FdsRoom room;
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = room.bytes,
        .msg_controllen = sizeof room.bytes,
    };
    ssize_t got;

    do {
        got = recvmsg(connection->fd, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return 0;
    }
    *ret_too_many = !keep_arrived(connection, &message);
    return (size_t)got;
}

static void serve(Connection *connection)
{
    g_autoptr(GString) buffer = g_string_new(NULL);

    send_and_unref(connection,
                   json_pack("{s:{s:s, s:i}}", "preheat", "version",
                             PREHEAT_VERSION, "pid", (int)getpid()));
    while (buffer->len < CONTROL_MAX_LINE_BYTES) {
        char piece[4096];
        bool too_many = false;
        size_t got = receive(connection, piece, sizeof piece, &too_many);

        if (got == 0) {
            return;
        }
        if (too_many) {
            send_and_unref(
                connection,
                error_answer(
                    "too many descriptors came: more than " G_STRINGIFY(
                        CONTROL_MAX_DESCRIPTORS) " that no command has taken, "
                                                 "or than "
                                                 "this process may have"));
            return;
        }
        g_string_append_len(buffer, piece, (gssize)got);
        answer_lines(connection, buffer);
    }
    send_and_unref(connection, error_answer("the line is too long"));
}

static void *connection_thread(void *opaque)
{
    Connection *connection = opaque;
    Control *control = connection->control;

    serve(connection);
    close_arrived(connection);
    pthread_mutex_lock(&control->lock);
    g_ptr_array_remove_fast(control->connections, connection);
    close(connection->fd);
    pthread_mutex_unlock(&control->lock);
    if (connection->hangup) {
        connection->hangup(control->opaque);
    }
    g_array_unref(connection->arrived);
    g_free(connection);
    return NULL;
}

/* Start a thread that nobody waits for. */
static int start_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    int rc = thread_start(&thread, "preheat-control", function, argument);

    if (rc == 0) {
        pthread_detach(thread);
    }
    return rc;
}

Control *control_new(ControlHandler *handler, void *opaque)
{
    Control *control = g_new0(Control, 1);

    control->handler = handler;
    control->opaque = opaque;
    control->listener = -1;
    control->connections = g_ptr_array_new();
    pthread_mutex_init(&control->lock, NULL);
    return control;
}

int control_add(Control *control, int fd, ControlHangup *hangup)
{
    const struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
    Connection *connection = g_new0(Connection, 1);

    connection->control = control;
    connection->hangup = hangup;
    connection->fd = fd;
    connection->arrived = g_array_new(FALSE, FALSE, sizeof(int));
    /* Fails only for what is no socket, and then recv() tells. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    pthread_mutex_lock(&control->lock);
    g_ptr_array_add(control->connections, connection);
    int rc = start_thread(connection_thread, connection);
    if (rc < 0) {
        g_ptr_array_remove_fast(control->connections, connection);
        close(fd);
        g_array_unref(connection->arrived);
        g_free(connection);
    }
    pthread_mutex_unlock(&control->lock);
    return rc;
}

/* An abstract socket has no owner in the file system: ask who it is. */
static bool is_allowed(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void *listener_thread(void *opaque)
{
    Control *control = opaque;

    for (;;) {
        int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) {
            continue;
        }
        if (fd < 0) {
            /* Out of descriptors, say.  Who connects later is not served,
             * which harms no guest. */
            return NULL;
        }
        if (is_allowed(fd)) {
            (void)control_add(control, fd, NULL);
        } else {
            close(fd);
        }
    }
}

int control_listen(Control *control)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
                       CONTROL_SOCKET_NAME_FORMAT, (int)getpid());
    socklen_t size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -errno;
    }
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 8) < 0) {
        int saved = errno;

        close(fd);
        return -saved;
    }
    control->listener = fd;
    return start_thread(listener_thread, control);
}

void control_send_event(Control *control, const char *event, json_t *data)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    json_t *message =
        json_pack("{s:s, s:o, s:{s:I, s:I}}", "event", event, "data", data,
                  "timestamp", "seconds", (json_int_t)now.tv_sec,
                  "microseconds", (json_int_t)now.tv_usec);
    pthread_mutex_lock(&control->lock);
    for (guint i = 0; i < control->connections->len; i++) {
        send_line_locked(control->connections->pdata[i], message);
    }
    pthread_mutex_unlock(&control->lock);
    json_decref(message);
}
