/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "template/template-server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "formats/template-protocol.h"
#include "template/clone-memory.h"
#include "template/template.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/thread.h"

/* Each waits for one read.  Where all of them do, more are started, so that
 * pages whose reads hang hold up no others; but not for ever so many pages. */
#define N_WORKERS   8
#define MAX_WORKERS 64

/* Many reads may be slow at a time: one of them is told. */
#define SLOW_AGAIN_US UINT64_C(60000000)

/* A clone has but a few threads that ask. */
#define MAX_WANTED 1024

#define MAX_CLIENTS 4096

/* One by one; what a message may be long is enough for so many. */
#define MAX_LISTED 400

/* Before another try to accept, where this process or the system is short of
 * something, and nobody leaves. */
#define ACCEPT_PAUSE_MS 100

typedef struct Client {
    unsigned n_refs;   /* under Server.lock, as the next */
    unsigned n_wanted; /* pages that it waits for; each has a reference */
    int fd;            /* constant */
    bool is_clone;     /* this and the next two: the main thread's */
    bool takes;        /* it waits for a machine */
    pid_t pid;
} Client;

/* A page that clients wait for.  Clones of one snapshot want the same pages at
 * the same time, so it is read once for all of them. */
typedef struct Wanted {
    size_t block; /* constant, as the next */
    uint64_t page;
    GPtrArray *clients; /* of Client, a reference each; under Server.lock, as
                           the next */
    guint n_begun;      /* of these, those that were here as it was begun */
} Wanted;

typedef struct Server {
    pthread_mutex_t lock; /* guards all down to ending, and what Client and
                             Wanted say */
    pthread_cond_t changed_wanted;
    GQueue wanted;               /* of Wanted: those that no worker is at */
    Wanted *served[MAX_WORKERS]; /* what each worker is at, its own; or NULL */
    unsigned n_idle;             /* workers that are at nothing */
    bool ending;                 /* the workers are to end */

    const TemplateServerOptions *options;
    Template *template;
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
    GPtrArray *clients;   /* of Client */
    Pool *pool;           /* or NULL */
    rlim_t given_max_fds; /* before we raised the limit; 0: we have not */
    pthread_t releaser;
    bool releaser_started;
    pthread_t workers[MAX_WORKERS];
    unsigned n_workers;
} Server;

typedef struct Worker {
    Server *server;
    unsigned index;
} Worker;

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

/* ---- clients ---- */

static void client_unref(Server *server, Client *client)
{
    pthread_mutex_lock(&server->lock);
    bool is_last = --client->n_refs == 0;
    pthread_mutex_unlock(&server->lock);
    if (is_last) {
        close(client->fd);
        g_free(client);
    }
}

/* Whoever does not read is treated as gone: its end is found by poll().
 * Returns false there. */
static bool answer(const Client *client, const TemplateMessage *message,
                   const char *text)
{
    bool ok = template_send(client->fd, message, text, NULL, 0) == 0;

    if (!ok) {
        (void)shutdown(client->fd, SHUT_RDWR);
    }
    return ok;
}

static bool answer_kind(const Client *client, TemplateKind kind,
                        const char *text)
{
    const TemplateMessage message = {.kind = kind};

    return answer(client, &message, text);
}

/* ---- the workers ---- */

static Wanted *wanted_new(size_t block, uint64_t page)
{
    Wanted *wanted = g_new0(Wanted, 1);

    wanted->block = block;
    wanted->page = page;
    wanted->clients = g_ptr_array_new();
    return wanted;
}

/* No client is told. */
static void wanted_free(Server *server, Wanted *wanted)
{
    for (guint i = 0; i < wanted->clients->len; i++) {
        client_unref(server, wanted->clients->pdata[i]);
    }
    g_ptr_array_unref(wanted->clients);
    g_free(wanted);
}

static void push_wanted_locked(Server *server, Wanted *wanted)
{
    g_queue_push_tail(&server->wanted, wanted);
    pthread_cond_signal(&server->changed_wanted);
}

/* The page as others want it already; NULL: nobody does. */
static Wanted *find_wanted_locked(const Server *server, size_t block,
                                  uint64_t page)
{
    for (unsigned i = 0; i < MAX_WORKERS; i++) {
        Wanted *wanted = server->served[i];

        if (wanted && wanted->block == block && wanted->page == page) {
            return wanted;
        }
    }
    for (const GList *at = server->wanted.head; at; at = at->next) {
        Wanted *wanted = at->data;

        if (wanted->block == block && wanted->page == page) {
            return wanted;
        }
    }
    return NULL;
}

/* The next page that is wanted, served by the worker from now on; NULL: it is
 * to end. */
static Wanted *begin_next(Server *server, unsigned worker)
{
    pthread_mutex_lock(&server->lock);
    server->n_idle++;
    while (!server->ending && !server->wanted.head) {
        pthread_cond_wait(&server->changed_wanted, &server->lock);
    }
    server->n_idle--;
    Wanted *wanted = server->ending ? NULL : g_queue_pop_head(&server->wanted);
    if (wanted) {
        server->served[worker] = wanted;
        wanted->n_begun = wanted->clients->len;
    }
    pthread_mutex_unlock(&server->lock);
    return wanted;
}

/* Who has come since it was begun may have come because it can be read again:
 * to try for them is another's work. */
static void try_again_locked(Server *server, Wanted *wanted)
{
    guint n_late = wanted->clients->len - wanted->n_begun;
    Wanted *again = wanted_new(wanted->block, wanted->page);

    for (guint i = 0; i < n_late; i++) {
        g_ptr_array_add(again->clients,
                        wanted->clients->pdata[wanted->n_begun + i]);
    }
    g_ptr_array_set_size(wanted->clients, (gint)wanted->n_begun);
    push_wanted_locked(server, again);
}

/* From now on its clients are the worker's alone, and wait no more. */
static void end_served(Server *server, unsigned worker, Wanted *wanted,
                       bool failed)
{
    pthread_mutex_lock(&server->lock);
    server->served[worker] = NULL;
    if (failed && wanted->clients->len > wanted->n_begun) {
        try_again_locked(server, wanted);
    }
    for (guint i = 0; i < wanted->clients->len; i++) {
        Client *client = wanted->clients->pdata[i];

        client->n_wanted--;
    }
    pthread_mutex_unlock(&server->lock);
}

static void have_page(Server *server, unsigned worker, Wanted *wanted)
{
    int rc =
        template_fetch(server->template, worker, wanted->block, wanted->page);
    const TemplateMessage message = {
        .kind = rc == 0 ? TEMPLATE_HAVE : TEMPLATE_FAILED,
        .error = (uint32_t)-rc,
        .block = wanted->block,
        .page = wanted->page,
    };

    end_served(server, worker, wanted, rc < 0);
    for (guint i = 0; i < wanted->clients->len; i++) {
        answer(wanted->clients->pdata[i], &message, NULL);
    }
}

static void *worker_thread(void *opaque)
{
    g_autofree Worker *self = opaque;
    Wanted *wanted;

    while ((wanted = begin_next(self->server, self->index))) {
        have_page(self->server, self->index, wanted);
        wanted_free(self->server, wanted);
    }
    return NULL;
}

/* Returns 0 or -errno. */
static int start_worker(Server *server)
{
    Worker *worker = g_new(Worker, 1);

    *worker = (Worker){server, server->n_workers};
    int rc = thread_start(&server->workers[server->n_workers], "preheat-worker",
                          worker_thread, worker);
    if (rc < 0) {
        g_free(worker);
    } else {
        server->n_workers++;
    }
    return rc;
}

static bool start_workers(Server *server, GError **error)
{
    while (server->n_workers < N_WORKERS) {
        int rc = start_worker(server);

        if (rc < 0) {
            util_error_set_errno(error, -rc, "no threads for a template");
            return false;
        }
    }
    return true;
}

/* Another one, where a page finds none.  If there is none to be had, the page
 * waits for those that there are. */
static void add_worker(Server *server)
{
    pthread_mutex_lock(&server->lock);
    bool is_short = server->n_idle < g_queue_get_length(&server->wanted);
    pthread_mutex_unlock(&server->lock);
    if (is_short && server->n_workers < MAX_WORKERS) {
        (void)start_worker(server);
    }
}

static void stop_workers(Server *server)
{
    Wanted *wanted;

    pthread_mutex_lock(&server->lock);
    server->ending = true;
    pthread_cond_broadcast(&server->changed_wanted);
    pthread_mutex_unlock(&server->lock);
    for (unsigned i = 0; i < server->n_workers; i++) {
        pthread_join(server->workers[i], NULL);
    }
    while ((wanted = g_queue_pop_head(&server->wanted))) {
        wanted_free(server, wanted);
    }
}

/* ---- what clients say ---- */

static json_t *clone_to_json(const Client *client)
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
        const Client *client = server->clients->pdata[i];

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

static void tell_status(const Server *server, const Client *client)
{
    json_t *status = template_status(server->template);

    add_clones(server, status);
    if (server->pool) {
        json_object_set_new(status, "pool", pool_status(server->pool));
    }
    char *text = json_dumps(status, JSON_COMPACT);
    answer_kind(client, TEMPLATE_ANSWER, text);
    free(text);
    json_decref(status);
}

static bool greet(const Server *server, Client *client,
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
        answer_kind(client, TEMPLATE_FULL, NULL);
    }
    return rc == 0;
}

static bool want(Server *server, Client *client, const TemplateMessage *message)
{
    if (!client->is_clone ||
        !template_has(server->template, message->block, message->page)) {
        return false;
    }
    pthread_mutex_lock(&server->lock);
    bool may = client->n_wanted < MAX_WANTED;
    if (may) {
        Wanted *wanted =
            find_wanted_locked(server, message->block, message->page);

        if (!wanted) {
            wanted = wanted_new(message->block, message->page);
            push_wanted_locked(server, wanted);
        }
        client->n_refs++;
        client->n_wanted++;
        g_ptr_array_add(wanted->clients, client);
    }
    pthread_mutex_unlock(&server->lock);
    add_worker(server);
    return may;
}

/* ---- the pool ---- */

static void on_pool_says(void *opaque, const char *text)
{
    const Server *server = opaque;

    server->options->say(text);
}

static bool on_given(void *opaque, void *taker, const json_t *machine)
{
    Client *client = taker;
    char *text = json_dumps(machine, JSON_COMPACT);

    client->takes = false;
    bool ok = answer_kind(client, TEMPLATE_ANSWER, text);
    free(text);
    return ok;
}

static void on_refused(void *opaque, void *taker, const char *reason)
{
    Client *client = taker;

    client->takes = false;
    answer_kind(client, TEMPLATE_FAILED, reason);
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
static bool take(Server *server, Client *client)
{
    if (client->takes) {
        return false;
    }
    if (!server->pool) {
        answer_kind(client, TEMPLATE_FAILED,
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
    Client *client = g_ptr_array_remove_index(server->clients, index);

    if (server->pool) {
        pool_forget(server->pool, client);
    }
    client_unref(server, client);
}

/* Returns false where the client has gone, or says what it should not. */
static bool take_message(Server *server, Client *client)
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
        answer_kind(client, TEMPLATE_ANSWER, NULL);
        return true;
    case TEMPLATE_STOP:
        answer_kind(client, TEMPLATE_ANSWER, NULL);
        server->stopped = true;
        return true;
    default:
        return false;
    }
}

static bool is_ours(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
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
    if (!is_ours(fd) || server->clients->len >= MAX_CLIENTS) {
        close(fd);
        return;
    }
    Client *client = g_new0(Client, 1);
    client->n_refs = 1;
    client->fd = fd;
    g_ptr_array_add(server->clients, client);
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
        const Client *client = server->clients->pdata[i];

        if (client->is_clone) {
            answer_kind(client, TEMPLATE_FULL, NULL);
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
        const Client *client = server->clients->pdata[i];
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

/* ---- the socket ---- */

/* Whether somebody listens there. */
static bool is_alive(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is = fd >= 0 && (connect(fd, (const struct sockaddr *)address,
                                  sizeof *address) == 0 ||
                          errno != ECONNREFUSED);

    if (fd >= 0) {
        close(fd);
    }
    return is;
}

static bool bind_at(int fd, const struct sockaddr_un *address)
{
    mode_t before = umask(0177);
    bool ok = bind(fd, (const struct sockaddr *)address, sizeof *address) == 0;

    umask(before);
    return ok;
}

/* A socket that nobody listens on any more is in nobody's way. */
static bool open_socket(Server *server, GError **error)
{
    const char *path = server->options->socket_path;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat info;

    if (strlen(path) >= sizeof address.sun_path) {
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "%s: longer than a socket's path may be", path);
        return false;
    }
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    server->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool ok = server->listener >= 0 && bind_at(server->listener, &address);
    if (!ok && errno == EADDRINUSE && lstat(path, &info) == 0 &&
        S_ISSOCK(info.st_mode) && !is_alive(&address)) {
        (void)unlink(path);
        ok = bind_at(server->listener, &address);
    }
    if (!ok || listen(server->listener, SOMAXCONN) < 0) {
        util_error_set_errno(error, errno, "%s: cannot listen", path);
        return false;
    }
    return true;
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
    server->template = template_new(image, order, MAX_WORKERS, &events, error);
    return server->template && start_workers(server, error) &&
           open_socket(server, error);
}

static void clear(Server *server)
{
    pool_free(server->pool);
    stop_workers(server);
    if (server->releaser_started) {
        pthread_join(server->releaser, NULL);
    }
    if (server->listener >= 0) {
        close(server->listener);
    }
    for (guint i = 0; i < server->clients->len; i++) {
        client_unref(server, server->clients->pdata[i]);
    }
    g_ptr_array_unref(server->clients);
    template_free(server->template);
    pthread_cond_destroy(&server->changed_wanted);
    pthread_mutex_destroy(&server->lock);
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
    pthread_mutex_init(&server.lock, NULL);
    pthread_cond_init(&server.changed_wanted, NULL);
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
