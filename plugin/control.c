/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "plugin/connection.h"
#include "util/clock.h"
#include "util/text.h"
#include "util/thread.h"

/* So many clients are served at a time.  For one more, the one goes that has
 * said nothing for the longest time. */
#define MAX_CLIENTS 32

/* Before another try to accept, where this process or the system is short of
 * something. */
#define ACCEPT_PAUSE_MS 100

struct Control {
    ControlHandler *handler;
    void *opaque;
    int listener; /* constant once it listens; -1: does not */

    pthread_mutex_t lock; /* guards all below */
    GPtrArray *clients;   /* of Client */
    int reserve;          /* a descriptor to give up for a client where there
                             is no other; -1: given up */
};

/* Belongs to its thread, which frees it. */
typedef struct Client {
    Control *control;
    Connection *connection;
    ControlHangup *hangup; /* not NULL: the launcher, which does not count
                              and is not cut off for others */

    /* Guarded by Control.lock. */
    bool busy; /* a command is being carried out */
    bool is_cut;
    uint64_t active_us; /* when it last was */
} Client;

/* ---- commands ---- */

static json_t *error_answer(const char *text)
{
    return json_pack("{s:{s:s, s:o}}", "error", "class", "GenericError", "desc",
                     text_to_json(text));
}

static json_t *execute(Client *client, const char *command,
                       const json_t *arguments, GError **error)
{
    Control *control = client->control;
    Descriptors *descriptors = descriptors_take(
        arguments, connection_arrived(client->connection), error);
    json_t *result = NULL;

    if (descriptors) {
        result = control->handler(control->opaque, command, arguments,
                                  descriptors, error);
    }
    descriptors_free(descriptors);
    return result;
}

static json_t *carry_out(Client *client, const json_t *request)
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
        execute(client, command, arguments ? arguments : none, &error);
    json_decref(none);
    return result ? json_pack("{s:o}", "return", result)
                  : error_answer(error->message);
}

static void set_busy(Client *client, bool busy)
{
    pthread_mutex_lock(&client->control->lock);
    client->busy = busy;
    client->active_us = monotonic_us();
    pthread_mutex_unlock(&client->control->lock);
}

static void answer_and_unref(Client *client, json_t *message)
{
    connection_answer(client->connection, message);
    json_decref(message);
}

static void answer_line(Client *client, const char *line, size_t len)
{
    json_error_t syntax;
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &syntax);
    json_t *id = json_object_get(request, "id");
    json_t *answer;

    set_busy(client, true);
    if (json_is_object(request)) {
        answer = carry_out(client, request);
    } else {
        answer = error_answer(request ? "not a JSON object" : syntax.text);
    }
    if (id) {
        json_object_set(answer, "id", id);
    }
    /* Before it is answered: who has got the answer may have left, and is not
     * to be in the way of who comes next. */
    set_busy(client, false);
    answer_and_unref(client, answer);
    json_decref(request);
}

static void serve(Client *client)
{
    const char *complaint = NULL;
    const char *line;
    size_t len;

    answer_and_unref(client, json_pack("{s:{s:s, s:i}}", "preheat", "version",
                                       PREHEAT_VERSION, "pid", (int)getpid()));
    while (connection_read_line(client->connection, &line, &len, &complaint)) {
        answer_line(client, line, len);
    }
    if (complaint) {
        answer_and_unref(client, error_answer(complaint));
    }
}

/* ---- clients ---- */

/* Have a descriptor to give up again, as soon as there is one. */
static void renew_reserve_locked(Control *control)
{
    if (control->reserve < 0 && control->listener >= 0) {
        control->reserve = fcntl(control->listener, F_DUPFD_CLOEXEC, 0);
    }
}

static void *client_thread(void *opaque)
{
    Client *client = opaque;
    Control *control = client->control;

    serve(client);
    pthread_mutex_lock(&control->lock);
    g_ptr_array_remove_fast(control->clients, client);
    connection_free(client->connection);
    renew_reserve_locked(control);
    pthread_mutex_unlock(&control->lock);
    if (client->hangup) {
        client->hangup(control->opaque);
    }
    g_free(client);
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

static int start_client_locked(Control *control, int fd, ControlHangup *hangup)
{
    Client *client = g_new0(Client, 1);

    client->control = control;
    client->connection = connection_new(fd);
    client->hangup = hangup;
    client->active_us = monotonic_us();
    g_ptr_array_add(control->clients, client);
    int rc = start_thread(client_thread, client);
    if (rc < 0) {
        g_ptr_array_remove_fast(control->clients, client);
        connection_free(client->connection);
        g_free(client);
    }
    return rc;
}

int control_add(Control *control, int fd, ControlHangup *hangup)
{
    pthread_mutex_lock(&control->lock);
    int rc = start_client_locked(control, fd, hangup);
    pthread_mutex_unlock(&control->lock);
    return rc;
}

Control *control_new(ControlHandler *handler, void *opaque)
{
    Control *control = g_new0(Control, 1);

    control->handler = handler;
    control->opaque = opaque;
    control->listener = -1;
    control->reserve = -1;
    control->clients = g_ptr_array_new();
    pthread_mutex_init(&control->lock, NULL);
    return control;
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
    for (guint i = 0; i < control->clients->len; i++) {
        const Client *client = control->clients->pdata[i];

        connection_tell(client->connection, message);
    }
    pthread_mutex_unlock(&control->lock);
    json_decref(message);
}

/* ---- the listener ---- */

/* An abstract socket has no owner in the file system: ask who it is. */
static bool is_allowed(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

/* Cut off who has said nothing for the longest time.  Returns false where all
 * are at something. */
static bool cut_idlest_locked(Control *control)
{
    Client *idlest = NULL;

    for (guint i = 0; i < control->clients->len; i++) {
        Client *client = control->clients->pdata[i];
        bool is_idle = !client->hangup && !client->busy && !client->is_cut;

        if (is_idle && (!idlest || client->active_us < idlest->active_us)) {
            idlest = client;
        }
    }
    if (idlest) {
        idlest->is_cut = true;
        connection_cut(idlest->connection);
    }
    return idlest != NULL;
}

/* Those that count against MAX_CLIENTS. */
static guint count_locked(const Control *control)
{
    guint n = 0;

    for (guint i = 0; i < control->clients->len; i++) {
        const Client *client = control->clients->pdata[i];

        n += !client->hangup && !client->is_cut;
    }
    return n;
}

static void turn_away(int fd)
{
    json_t *answer = error_answer("too many clients wait for answers");
    Connection *connection = connection_new(fd);

    connection_tell(connection, answer);
    connection_free(connection);
    json_decref(answer);
}

static void admit(Control *control, int fd)
{
    if (!is_allowed(fd)) {
        close(fd);
        return;
    }
    pthread_mutex_lock(&control->lock);
    bool have_room =
        count_locked(control) < MAX_CLIENTS || cut_idlest_locked(control);
    if (have_room) {
        (void)start_client_locked(control, fd, NULL);
    }
    pthread_mutex_unlock(&control->lock);
    if (!have_room) {
        turn_away(fd);
    }
}

/* Short of descriptors, or of memory: make room.  Somebody may want to ask
 * this very process what is wrong, or end it. */
static void make_room(Control *control)
{
    pthread_mutex_lock(&control->lock);
    bool have_reserve = control->reserve >= 0;
    if (have_reserve) {
        close(control->reserve);
        control->reserve = -1;
    } else {
        (void)cut_idlest_locked(control);
    }
    pthread_mutex_unlock(&control->lock);
    if (!have_reserve) {
        (void)poll(NULL, 0, ACCEPT_PAUSE_MS);
    }
}

/* accept4() takes its descriptor before it waits: where there is none left, it
 * fails although nobody is there for whom to make room. */
static void await_client(const Control *control)
{
    struct pollfd listener = {.fd = control->listener, .events = POLLIN};

    (void)poll(&listener, 1, -1);
}

static void *listener_thread(void *opaque)
{
    Control *control = opaque;

    for (;;) {
        await_client(control);
        int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0) {
            admit(control, fd);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            make_room(control);
        }
    }
    return NULL;
}

/* Returns the address's length, or 0 with errno. */
static socklen_t set_name(struct sockaddr_un *address)
{
    struct stat ns;

    if (stat("/proc/self/ns/pid", &ns) < 0) {
        return 0;
    }
    int len = snprintf(address->sun_path + 1, sizeof address->sun_path - 1,
                       CONTROL_SOCKET_NAME_FORMAT, (uintmax_t)ns.st_ino,
                       (int)getpid());
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                       (size_t)len);
}

int control_listen(Control *control)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = set_name(&address);

    if (size == 0) {
        return -errno;
    }
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
    pthread_mutex_lock(&control->lock);
    renew_reserve_locked(control);
    pthread_mutex_unlock(&control->lock);
    return start_thread(listener_thread, control);
}
