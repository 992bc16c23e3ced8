/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "template/template-server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "formats/template-protocol.h"
#include "template/clone-memory.h"
#include "template/template-client.h"
#include "template/template-socket.h"
#include "template/template-workers.h"
#include "template/template.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/thread.h"

/* Many reads may be slow at a time: one of them is told. */
#define SLOW_AGAIN_US UINT64_C(60000000)

#define MAX_CLIENTS 4096

/* One by one; what a message may be long is enough for so many. */
#define MAX_LISTED 400

/* Before another try to accept, where this process or the system is short of
 * something, and nobody leaves. */
#define ACCEPT_PAUSE_MS 100

typedef struct Server {
    const TemplateServerOptions *options;
    Template *template;
    TemplateWorkers *workers;
    int listener;
    int changed;           /* eventfd: what follows has changed */
    _Atomic bool full;     /* relaxed, both: changed is written behind them */
    _Atomic bool is_void;  /* the snapshot was changed */
    uint64_t told_slow_us; /* 0: not yet; the thread's that tells it, as: */
    bool told_waiting;     /* of a slow read that somebody waits for */
    bool stopped;          /* this and below: the main thread's */
    bool told_full;
    bool is_short;        /* of descriptors: accept nobody in the next round */
    bool told_short;      /* of this time that it is */
    GPtrArray *clients;   /* of TemplateClient */
    Pool *pool;           /* or NULL */
    rlim_t given_max_fds; /* before we raised the limit; 0: we have not */
    pthread_t releaser;
    bool releaser_started;
} Server;

static void say(const Server *server, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

static void say(const Server *server, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    server->options->say(text);
}

/* ---- what the template tells ---- */

static void wake_up(const Server *server)
{
    const uint64_t one = 1;

    (void)!write(server->changed, &one, sizeof one);
}

static void on_failed(void *opaque, const PagerFailure *failure)
{
    Server *server = opaque;

    if (failure->is_final) {
        say(server, "%s", failure->reason);
        atomic_store_explicit(&server->is_void, true, memory_order_relaxed);
        wake_up(server);
        return;
    }
    say(server,
        "%s: %s at offset %" G_GUINT64_FORMAT " failed: %s.  Clones that need "
        "that page wait; preheat template retry %s tries again",
        failure->path, failure->what, failure->off_bytes, failure->reason,
        server->options->socket_path);
}

static void on_slow(void *opaque, const PagerSlowRead *slow)
{
    Server *server = opaque;
    uint64_t now_us = monotonic_us();
    bool is_news = slow->waited_for && !server->told_waiting;

    if (server->told_slow_us != 0 && !is_news &&
        now_us - server->told_slow_us < SLOW_AGAIN_US) {
        return;
    }
    server->told_slow_us = now_us;
    server->told_waiting |= slow->waited_for;
    say(server,
        "%s: reading at offset %" G_GUINT64_FORMAT " has taken "
        "%" G_GUINT64_FORMAT " s so far%s",
        slow->path, slow->off_bytes, slow->seconds,
        slow->waited_for ? ", and clones wait for it" : "");
}

static void on_full(void *opaque)
{
    Server *server = opaque;

    atomic_store_explicit(&server->full, true, memory_order_relaxed);
    wake_up(server);
}

/* ---- what clients say ---- */

static json_t *clone_to_json(const TemplateClient *client)
{
    uint64_t shared_bytes;
    uint64_t own_bytes;

    if (!clone_memory_read(client->pid, &shared_bytes, &own_bytes)) {
        return json_pack("{s:i}", "pid", (int)client->pid);
    }
    return json_pack("{s:i, s:I, s:I}", "pid", (int)client->pid, "shared-bytes",
                     (json_int_t)shared_bytes, "own-bytes",
                     (json_int_t)own_bytes);
}

/* Saved is what the clones have in use without a copy of their own, beyond the
 * one that there is. */
static void add_clones(const Server *server, json_t *status)
{
    json_int_t shared =
        json_integer_value(json_object_get(status, "shared-bytes"));
    json_t *clones = json_array();
    json_int_t used = 0;
    json_int_t n_clones = 0;

    for (guint i = 0; i < server->clients->len; i++) {
        const TemplateClient *client = server->clients->pdata[i];

        if (client->is_clone) {
            json_t *clone = clone_to_json(client);

            used += json_integer_value(json_object_get(clone, "shared-bytes"));
            if (n_clones < MAX_LISTED) {
                json_array_append(clones, clone);
            }
            json_decref(clone);
            n_clones++;
        }
    }
    json_object_set_new(status, "clone-count", json_integer(n_clones));
    json_object_set_new(status, "clones", clones);
    json_object_set_new(status, "saved-bytes",
                        json_integer(MAX(used - shared, 0)));
}

static void tell_status(const Server *server, const TemplateClient *client)
{
    json_t *status = template_status(server->template);

    add_clones(server, status);
    if (server->pool) {
        json_object_set_new(status, "pool", pool_status(server->pool));
    }
    char *text = json_dumps(status, JSON_COMPACT);
    template_client_answer_kind(client, TEMPLATE_ANSWER, text);
    free(text);
    json_decref(status);
}

static bool greet(const Server *server, TemplateClient *client,
                  const TemplateMessage *hello)
{
    const TemplateMessage welcome = {.kind = TEMPLATE_WELCOME,
                                     .page = TEMPLATE_VERSION};
    const GArray *fds = template_fds(server->template);
    char *text = template_welcome(server->template);

    client->is_clone = hello->block == TEMPLATE_ROLE_CLONE;
    client->pid = (pid_t)hello->error;
    int rc = template_send(client->fd, &welcome, text, (const int *)fds->data,
                           client->is_clone ? fds->len : 1);
    free(text);
    if (rc == 0 && client->is_clone && server->told_full) {
        template_client_answer_kind(client, TEMPLATE_FULL, NULL);
    }
    return rc == 0;
}

static bool want(Server *server, TemplateClient *client,
                 const TemplateMessage *message)
{
    if (!client->is_clone ||
        !template_has(server->template, message->block, message->page)) {
        return false;
    }
    return template_workers_want(server->workers, client, message->block,
                                 message->page);
}

/* ---- the pool ---- */

static void on_pool_says(void *opaque, const char *text)
{
    const Server *server = opaque;

    server->options->say(text);
}

static bool on_given(void *opaque, void *taker, const json_t *machine)
{
    TemplateClient *client = taker;
    char *text = json_dumps(machine, JSON_COMPACT);

    client->takes = false;
    bool ok = template_client_answer_kind(client, TEMPLATE_ANSWER, text);
    free(text);
    return ok;
}

static void on_refused(void *opaque, void *taker, const char *reason)
{
    TemplateClient *client = taker;

    client->takes = false;
    template_client_answer_kind(client, TEMPLATE_FAILED, reason);
}

static void start_pool(Server *server)
{
    const PoolEvents events = {on_pool_says, on_given, on_refused, server};

    if (server->options->pool) {
        PoolOptions options = *server->options->pool;

        options.max_fds = server->given_max_fds;
        server->pool = pool_new(&options, &events);
    }
}

/* Each client waits for one machine at a time. */
static bool take(Server *server, TemplateClient *client)
{
    if (client->takes) {
        return false;
    }
    if (!server->pool) {
        template_client_answer_kind(
            client, TEMPLATE_FAILED,
            "this template keeps no machines ready: start it with "
            "--pool N, or load one with preheat loadvm --template");
        return true;
    }
    client->takes = true;
    pool_take(server->pool, client);
    return true;
}

static void remove_client(Server *server, guint index)
{
    TemplateClient *client = g_ptr_array_remove_index(server->clients, index);

    if (server->pool) {
        pool_forget(server->pool, client);
    }
    template_client_unref(client);
}

/* Returns false where the client has gone, or says what it should not. */
static bool take_message(Server *server, TemplateClient *client)
{
    TemplateMessage message;

    if (template_receive(client->fd, &message, NULL, NULL) < 0) {
        return false;
    }
    switch (message.kind) {
    case TEMPLATE_HELLO:
        return greet(server, client, &message);
    case TEMPLATE_WANT:
        return want(server, client, &message);
    case TEMPLATE_STATUS:
        tell_status(server, client);
        return true;
    case TEMPLATE_TAKE:
        return take(server, client);
    case TEMPLATE_RETRY:
        template_retry(server->template);
        template_client_answer_kind(client, TEMPLATE_ANSWER, NULL);
        return true;
    case TEMPLATE_STOP:
        template_client_answer_kind(client, TEMPLATE_ANSWER, NULL);
        server->stopped = true;
        return true;
    default:
        return false;
    }
}

/* Who waits to be accepted does so until there is room again. */
static void set_short(Server *server, int error_number)
{
    server->is_short = true;
    if (!server->told_short) {
        server->told_short = true;
        say(server,
            "%s: %u clients are connected, and one more cannot be: %s.  It "
            "waits; \"ulimit -Hn\" and sysctl fs.file-max limit them",
            server->options->socket_path, server->clients->len,
            g_strerror(error_number));
    }
}

static void accept_client(Server *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno != EINTR && errno != ECONNABORTED) {
            set_short(server, errno);
        }
        return;
    }
    server->told_short = false;
    if (!template_socket_is_ours(fd) || server->clients->len >= MAX_CLIENTS) {
        close(fd);
        return;
    }
    g_ptr_array_add(server->clients, template_client_new(fd));
}

/* ---- the main thread ---- */

/* Of a large template it takes a while, in which clients would wait. */
static void *release_thread(void *opaque)
{
    template_release(opaque);
    return NULL;
}

static void set_full(Server *server)
{
    server->told_full = true;
    say(server, "%s: every page is there",
        template_image(server->template)->path);
    for (guint i = 0; i < server->clients->len; i++) {
        const TemplateClient *client = server->clients->pdata[i];

        if (client->is_clone) {
            template_client_answer_kind(client, TEMPLATE_FULL, NULL);
        }
    }
    server->releaser_started =
        thread_start(&server->releaser, "preheat-release", release_thread,
                     server->template) == 0;
    if (!server->releaser_started) {
        template_release(server->template);
    }
}

static void take_change(Server *server)
{
    uint64_t count;

    (void)!read(server->changed, &count, sizeof count);
    /* Relaxed: see Server. */
    if (atomic_load_explicit(&server->is_void, memory_order_relaxed)) {
        server->stopped = true;
    } else if (!server->told_full &&
               atomic_load_explicit(&server->full, memory_order_relaxed)) {
        set_full(server);
    }
}

static GArray *what_to_poll(const Server *server)
{
    GArray *events = g_array_new(FALSE, FALSE, sizeof(struct pollfd));
    const struct pollfd first[] = {
        {.fd = server->options->interrupt_fd, .events = POLLIN},
        {.fd = server->changed, .events = POLLIN},
        {.fd = server->is_short ? -1 : server->listener, .events = POLLIN},
    };

    g_array_append_vals(events, first, G_N_ELEMENTS(first));
    for (guint i = 0; i < server->clients->len; i++) {
        const TemplateClient *client = server->clients->pdata[i];
        const struct pollfd event = {.fd = client->fd, .events = POLLIN};

        g_array_append_val(events, event);
    }
    if (server->pool) {
        pool_add_fds(server->pool, events);
    }
    return events;
}

/* poll()'s. */
static int patience_ms(const Server *server)
{
    int pool_ms = server->pool ? pool_timeout_ms(server->pool) : -1;

    if (!server->is_short) {
        return pool_ms;
    }
    return pool_ms < 0 ? ACCEPT_PAUSE_MS : MIN(pool_ms, ACCEPT_PAUSE_MS);
}

/* events: the pool's. */
static void attend_pool(Server *server, const struct pollfd *events, guint n)
{
    bool has_come = pool_timeout_ms(server->pool) == 0;

    for (guint i = 0; i < n && !has_come; i++) {
        has_come = events[i].revents != 0;
    }
    if (has_come) {
        pool_attend(server->pool);
    }
}

static void serve_once(Server *server)
{
    g_autoptr(GArray) events = what_to_poll(server);
    const struct pollfd *first = (const struct pollfd *)events->data;
    guint n_others = 3 + server->clients->len;

    if (poll((struct pollfd *)events->data, events->len, patience_ms(server)) <
        0) {
        return;
    }
    server->is_short = false;
    if (first[0].revents != 0) {
        server->stopped = true;
    }
    if (first[1].revents != 0) {
        take_change(server);
    }
    /* From the last: one that is taken out leaves those before it alone. */
    for (guint i = n_others - 1; i >= 3; i--) {
        if (first[i].revents != 0 &&
            !take_message(server, server->clients->pdata[i - 3])) {
            remove_client(server, i - 3);
        }
    }
    if (server->pool) {
        attend_pool(server, first + n_others, events->len - n_others);
    }
    if (first[2].revents != 0) {
        accept_client(server);
    }
}

/* ---- start and end ---- */

/* Each client takes a descriptor.  Where there are no more to be had, it goes
 * on with what it has. */
static void raise_limit(Server *server)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        server->given_max_fds = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool start(Server *server, RamImage *image, const PageOrder *order,
                  GError **error)
{
    const TemplateEvents events = {on_failed, on_slow, on_full, server};

    raise_limit(server);
    server->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->template =
        template_new(image, order, TEMPLATE_MAX_WORKERS, &events, error);
    if (server->template) {
        server->workers = template_workers_new(server->template, error);
    }
    if (server->workers) {
        server->listener =
            template_socket_listen(server->options->socket_path, error);
    }
    return server->listener >= 0;
}

static void clear(Server *server)
{
    pool_free(server->pool);
    template_workers_free(server->workers);
    if (server->releaser_started) {
        pthread_join(server->releaser, NULL);
    }
    if (server->listener >= 0) {
        close(server->listener);
    }
    for (guint i = 0; i < server->clients->len; i++) {
        template_client_unref(server->clients->pdata[i]);
    }
    g_ptr_array_unref(server->clients);
    template_free(server->template);
    if (server->changed >= 0) {
        close(server->changed);
    }
}

bool template_server_run(RamImage *image, const PageOrder *order,
                         const TemplateServerOptions *options, GError **error)
{
    Server server = {
        .options = options,
        .listener = -1,
        .clients = g_ptr_array_new(),
    };
    bool ok = start(&server, image, order, error);

    if (ok) {
        if (options->ready) {
            options->ready();
        }
        start_pool(&server);
        while (!server.stopped) {
            serve_once(&server);
        }
        (void)unlink(options->socket_path);
        if (options->ending) {
            options->ending();
        }
        /* Relaxed: see Server. */
        ok = !atomic_load_explicit(&server.is_void, memory_order_relaxed);
        if (!ok) {
            g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                        "the template has ended: its snapshot was changed");
        }
    }
    clear(&server);
    return ok;
}
