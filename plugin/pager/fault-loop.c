/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/fault-loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <glib.h>

#include "util/thread.h"

typedef struct FaultThread {
    FaultLoop *loop;
    int epoll; /* waits for uffd, released and quit; each thread has one, so
                  that a fault wakes one thread (EPOLLEXCLUSIVE) */
    pthread_t thread;
} FaultThread;

struct FaultLoop {
    pthread_mutex_t lock; /* guards all down to n_free */
    bool held;
    GArray *kept;           /* of UffdFault, the oldest first */
    unsigned *free_workers; /* those that no handler has just now … */
    unsigned n_free;        /* … and how many they are */

    int uffd;     /* the caller's; constant, as all below */
    int released; /* eventfd: readable while there is something kept from
                     before the release */
    int quit;     /* eventfd: readable for good once it is time to end */
    int ended;    /* eventfd: counts the threads that have left their loop */
    FaultHandlers handlers;
    unsigned n_threads; /* those that were started */
    unsigned max_threads;
    FaultThread *threads;
};

/* ---- one fault ---- */

/* Keep the fault, unless it is NULL; then take the oldest one that is kept, if
 * it may be handled now. */
static bool next_fault(FaultLoop *loop, const UffdFault *fault,
                       UffdFault *ret_fault, unsigned *ret_worker)
{
    pthread_mutex_lock(&loop->lock);
    if (fault) {
        g_array_append_val(loop->kept, *fault);
    }
    bool may = !loop->held && loop->n_free > 0 && loop->kept->len > 0;
    if (may) {
        *ret_fault = g_array_index(loop->kept, UffdFault, 0);
        g_array_remove_index(loop->kept, 0);
        *ret_worker = loop->free_workers[--loop->n_free];
    }
    pthread_mutex_unlock(&loop->lock);
    return may;
}

static void free_worker(FaultLoop *loop, unsigned worker)
{
    pthread_mutex_lock(&loop->lock);
    loop->free_workers[loop->n_free++] = worker;
    pthread_mutex_unlock(&loop->lock);
}

/* Handle the fault, unless it is NULL or enough others are at work, and then
 * what was kept.  Who frees a worker looks again: so nothing stays kept while
 * a worker is free. */
static void serve(FaultLoop *loop, const UffdFault *fault)
{
    UffdFault next;
    unsigned worker;

    while (next_fault(loop, fault, &next, &worker)) {
        loop->handlers.fault(loop->handlers.opaque, worker, &next);
        free_worker(loop, worker);
        fault = NULL;
    }
}

static bool heeds_removals(const FaultLoop *loop)
{
    /* Acquire: the message is read after this has been. */
    return loop->handlers.removal &&
           atomic_load_explicit(loop->handlers.heeds_removals,
                                memory_order_acquire);
}

/* Whether removals count is asked before the message is read, and not after:
 * once it has been read, whoever gave back goes on, and may set what is asked
 * for here. */
static void read_messages(FaultLoop *loop)
{
    UffdMessage message;
    bool heeds = heeds_removals(loop);

    while (uffd_next_message(loop->uffd, &message) == 0) {
        if (!message.is_removal) {
            serve(loop, &message.fault);
        } else if (heeds) {
            loop->handlers.removal(loop->handlers.opaque, &message.removal);
        }
        heeds = heeds_removals(loop);
    }
}

/* ---- the threads ---- */

/* Cannot fail: no counter comes near its limit. */
static void count_one(int event)
{
    const uint64_t one = 1;
    ssize_t written = write(event, &one, sizeof one);

    g_assert(written == (ssize_t)sizeof one);
}

static bool has(const struct epoll_event *events, int n_events, int fd)
{
    for (int i = 0; i < n_events; i++) {
        if (events[i].data.fd == fd) {
            return true;
        }
    }
    return false;
}

static void *fault_thread(void *opaque)
{
    const FaultThread *self = opaque;
    FaultLoop *loop = self->loop;

    for (;;) {
        struct epoll_event events[3];
        uint64_t count;
        int n = epoll_wait(self->epoll, events, G_N_ELEMENTS(events), -1);

        if (has(events, n, loop->quit)) {
            break;
        }
        if (has(events, n, loop->released)) {
            /* Others come to help until nothing is kept any more. */
            serve(loop, NULL);
            (void)!read(loop->released, &count, sizeof count);
        }
        read_messages(loop);
    }
    count_one(loop->ended);
    return NULL;
}

static int watch(int epoll, int fd, uint32_t how)
{
    struct epoll_event event = {.events = EPOLLIN | how, .data.fd = fd};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int open_descriptors(FaultLoop *loop)
{
    loop->released = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return loop->released < 0 || loop->quit < 0 || loop->ended < 0 ? -errno : 0;
}

static int open_epoll(FaultThread *self)
{
    const FaultLoop *loop = self->loop;

    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll < 0) {
        return -errno;
    }
    int rc = watch(self->epoll, loop->uffd, EPOLLEXCLUSIVE);
    if (rc == 0) {
        rc = watch(self->epoll, loop->released, 0);
    }
    return rc < 0 ? rc : watch(self->epoll, loop->quit, 0);
}

static int start_thread(FaultThread *self)
{
    int rc = open_epoll(self);

    return rc < 0 ? rc
                  : thread_start(&self->thread, "preheat-fault", fault_thread,
                                 self);
}

static int start_threads(FaultLoop *loop)
{
    int rc = 0;

    while (rc == 0 && loop->n_threads < loop->max_threads) {
        rc = start_thread(&loop->threads[loop->n_threads]);
        loop->n_threads += rc == 0;
    }
    return rc;
}

static FaultLoop *loop_new(int uffd, unsigned n_workers,
                           const FaultHandlers *handlers)
{
    FaultLoop *loop = g_new0(FaultLoop, 1);

    pthread_mutex_init(&loop->lock, NULL);
    loop->held = true;
    loop->kept = g_array_new(FALSE, FALSE, sizeof(UffdFault));
    loop->free_workers = g_new(unsigned, n_workers);
    while (loop->n_free < n_workers) {
        loop->free_workers[loop->n_free] = loop->n_free;
        loop->n_free++;
    }
    loop->uffd = uffd;
    loop->released = loop->quit = loop->ended = -1;
    loop->handlers = *handlers;
    loop->max_threads = n_workers + 1;
    loop->threads = g_new(FaultThread, loop->max_threads);
    for (unsigned i = 0; i < loop->max_threads; i++) {
        loop->threads[i] = (FaultThread){.loop = loop, .epoll = -1};
    }
    return loop;
}

int fault_loop_start_held(int uffd, unsigned n_threads,
                          const FaultHandlers *handlers, FaultLoop **ret_loop)
{
    FaultLoop *loop = loop_new(uffd, n_threads, handlers);
    int rc = open_descriptors(loop);

    if (rc == 0) {
        rc = start_threads(loop);
    }
    if (rc < 0) {
        fault_loop_stop(loop);
        return rc;
    }
    *ret_loop = loop;
    return 0;
}

int fault_loop_start(int uffd, unsigned n_threads, FaultHandler *handler,
                     void *opaque, FaultLoop **ret_loop)
{
    const FaultHandlers handlers = {.fault = handler, .opaque = opaque};
    int rc = fault_loop_start_held(uffd, n_threads, &handlers, ret_loop);

    if (rc == 0) {
        fault_loop_release(*ret_loop);
    }
    return rc;
}

void fault_loop_release(FaultLoop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->held = false;
    pthread_mutex_unlock(&loop->lock);
    count_one(loop->released);
}

/* A handler may be trying to fill a page of memory that is being given back,
 * and cannot before that has been read; the other threads may have ended.  So
 * whoever waits for them reads. */
static void await_end(FaultLoop *loop)
{
    struct pollfd events[] = {
        {.fd = loop->uffd, .events = POLLIN},
        {.fd = loop->ended, .events = POLLIN},
    };
    UffdMessage message;
    uint64_t n_ended = 0;
    uint64_t count;

    while (n_ended < loop->n_threads) {
        /* Fails when it is interrupted, and then both are just looked at. */
        (void)poll(events, G_N_ELEMENTS(events), -1);
        while (uffd_next_message(loop->uffd, &message) == 0) {
        }
        if (read(loop->ended, &count, sizeof count) == (ssize_t)sizeof count) {
            n_ended += count;
        }
    }
}

static void close_unless_none(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void fault_loop_stop(FaultLoop *loop)
{
    if (!loop) {
        return;
    }
    if (loop->n_threads > 0) {
        count_one(loop->quit);
        await_end(loop);
    }
    for (unsigned i = 0; i < loop->n_threads; i++) {
        pthread_join(loop->threads[i].thread, NULL);
    }
    for (unsigned i = 0; i < loop->max_threads; i++) {
        close_unless_none(loop->threads[i].epoll);
    }
    close_unless_none(loop->released);
    close_unless_none(loop->quit);
    close_unless_none(loop->ended);
    pthread_mutex_destroy(&loop->lock);
    g_array_unref(loop->kept);
    g_free(loop->free_workers);
    g_free(loop->threads);
    g_free(loop);
}
