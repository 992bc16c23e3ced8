/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/host/fake-peer.h"

#include <string.h>
#include <sys/socket.h>

#include "host/json-line.h"
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

static void *serve(void *opaque)
{
    FakePeer *peer = opaque;

    while (json_line_fill(peer->line, NULL)) {
        json_t *message;

        while (json_line_take(peer->line, &message, NULL) && message) {
            serve_message(peer, message);
            json_decref(message);
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
    g_ptr_array_unref(peer->answered);
    g_cond_clear(&peer->changed);
    g_mutex_clear(&peer->lock);
    g_free(peer);
}
