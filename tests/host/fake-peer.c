/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/host/fake-peer.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/json-line.h"
#include "host/qmp.h"
#include "tests/util/support.h"

struct FakePeer {
    JsonLine *line;
    FakeAnswer *answer;
    void *opaque;
    GThread *thread;

    GMutex lock; /* guards all below, and is held while sending */
    GCond changed;
    GString *log;
    GPtrArray *answered; /* names of commands, in sequence */
    GArray *fds;         /* of int: what came with them, in sequence */
};

static void send_message(FakePeer *peer, json_t *message)
{
    g_mutex_lock(&peer->lock);
    /* A client that is gone already needs no answer. */
    json_line_send(peer->line, message, NULL);
    g_mutex_unlock(&peer->lock);
    json_decref(message);
}

static void note(FakePeer *peer, const char *command)
{
    g_mutex_lock(&peer->lock);
    if (peer->log->len > 0) {
        g_string_append_c(peer->log, ' ');
    }
    g_string_append(peer->log, command);
    g_mutex_unlock(&peer->lock);
}

static void serve_message(FakePeer *peer, const json_t *message)
{
    const char *command =
        json_string_value(json_object_get(message, "execute"));
    const char *refusal = "not known to this fake";
    json_t *value, *answer;

    note(peer, command);
    value = peer->answer(peer, command, json_object_get(message, "arguments"),
                         &refusal, peer->opaque);
    answer = value ? json_pack("{s:o}", "return", value)
                   : json_pack("{s:{s:s, s:s}}", "error", "class",
                               "GenericError", "desc", refusal);
    json_object_set(answer, "id", json_object_get(message, "id"));
    send_message(peer, answer);
    g_mutex_lock(&peer->lock);
    g_ptr_array_add(peer->answered, g_strdup(command));
    g_cond_broadcast(&peer->changed);
    g_mutex_unlock(&peer->lock);
}

/* Room for the descriptors of one message. */
typedef union FdsRoom {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(JSON_LINE_MAX_FDS * sizeof(int))];
} FdsRoom;

static void keep_fds(FakePeer *peer, struct msghdr *message)
{
    const struct cmsghdr *header = CMSG_FIRSTHDR(message);

    if (header) {
        g_mutex_lock(&peer->lock);
        g_array_append_vals(
            peer->fds, CMSG_DATA(header),
            (guint)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int)));
        g_mutex_unlock(&peer->lock);
    }
}

/* What has come is appended to input; false at the end. */
static bool receive(FakePeer *peer, GString *input)
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
    ssize_t n = recvmsg(json_line_fd(peer->line), &message, MSG_CMSG_CLOEXEC);

    if (n > 0) {
        keep_fds(peer, &message);
        g_string_append_len(input, piece, n);
    }
    return n > 0;
}

static void *serve(void *opaque)
{
    FakePeer *peer = opaque;
    g_autoptr(GString) input = g_string_new(NULL);

    while (receive(peer, input)) {
        const char *end;

        while ((end = memchr(input->str, '\n', input->len))) {
            size_t len = (size_t)(end - input->str) + 1;
            json_t *message = json_loadb(input->str, len, 0, NULL);

            serve_message(peer, message);
            json_decref(message);
            g_string_erase(input, 0, (gssize)len);
        }
    }
    return NULL;
}

FakePeer *fake_peer_new(int fd, json_t *greeting, FakeAnswer *answer,
                        void *opaque)
{
    FakePeer *peer = g_new0(FakePeer, 1);

    peer->line = json_line_new(fd, 1 << 20);
    peer->answer = answer;
    peer->opaque = opaque;
    peer->log = g_string_new(NULL);
    peer->fds = g_array_new(FALSE, FALSE, sizeof(int));
    peer->answered = g_ptr_array_new_with_free_func(g_free);
    g_mutex_init(&peer->lock);
    g_cond_init(&peer->changed);
    if (greeting) {
        send_message(peer, greeting);
    }
    peer->thread = g_thread_new("fake-peer", serve, peer);
    return peer;
}

FakePeer *fake_peer_new_qmp(FakeAnswer *answer, void *opaque, int *ret_fd)
{
    json_t *greeting = json_pack("{s:{s:{s:{s:i, s:i, s:i}, s:s}, s:[]}}",
                                 "QMP", "version", "qemu", "major", 10, "minor",
                                 0, "micro", 2, "package", "", "capabilities");
    int fd;

    make_sockets(&fd, ret_fd);
    return fake_peer_new(fd, greeting, answer, opaque);
}

Rpc *fake_peer_connect_qmp(FakeAnswer *answer, void *opaque,
                           FakePeer **ret_peer)
{
    int fd;

    *ret_peer = fake_peer_new_qmp(answer, opaque, &fd);
    Rpc *qmp = qmp_new(fd);
    assert_true(qmp_handshake(qmp, -1, NULL, NULL));
    return qmp;
}

void fake_peer_event(FakePeer *peer, const char *name, json_t *data)
{
    json_t *message = json_pack("{s:s}", "event", name);

    if (data) {
        json_object_set_new(message, "data", data);
    }
    send_message(peer, message);
}

void fake_peer_close_output(FakePeer *peer)
{
    shutdown(json_line_fd(peer->line), SHUT_WR);
}

void fake_peer_close(FakePeer *peer)
{
    shutdown(json_line_fd(peer->line), SHUT_RDWR);
}

char *fake_peer_log(FakePeer *peer)
{
    char *log;

    g_mutex_lock(&peer->lock);
    log = g_strdup(peer->log->str);
    g_mutex_unlock(&peer->lock);
    return log;
}

int fake_peer_fd(FakePeer *peer, unsigned i)
{
    int fd;

    g_mutex_lock(&peer->lock);
    fd = i < peer->fds->len ? g_array_index(peer->fds, int, i) : -1;
    g_mutex_unlock(&peer->lock);
    return fd;
}

static unsigned count_answered_locked(const FakePeer *peer, const char *command)
{
    unsigned n = 0;

    for (guint i = 0; i < peer->answered->len; i++) {
        n += strcmp(peer->answered->pdata[i], command) == 0;
    }
    return n;
}

void fake_peer_await(FakePeer *peer, const char *command, unsigned n)
{
    g_mutex_lock(&peer->lock);
    while (count_answered_locked(peer, command) < n) {
        g_cond_wait(&peer->changed, &peer->lock);
    }
    g_mutex_unlock(&peer->lock);
}

void fake_peer_free(FakePeer *peer)
{
    fake_peer_close(peer);
    g_thread_join(peer->thread);
    json_line_free(peer->line);
    g_string_free(peer->log, TRUE);
    for (guint i = 0; i < peer->fds->len; i++) {
        close(g_array_index(peer->fds, int, i));
    }
    g_array_unref(peer->fds);
    g_ptr_array_unref(peer->answered);
    g_cond_clear(&peer->changed);
    g_mutex_clear(&peer->lock);
    g_free(peer);
}
