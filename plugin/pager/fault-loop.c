/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/fault-loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <glib.h>

#include "util/thread.h"

typedef struct FaultThread {
    FaultLoop *loop;
    unsigned index;
    pthread_t thread;
} FaultThread;

/* All set before the threads start, and constant while they run. */
struct FaultLoop {
    int uffd;  /* the caller's */
    int epoll; /* waits for uffd (one thread a fault) and quit (all) */
    int quit;  /* eventfd: readable for good once it is time to end */
    FaultHandler *handler;
    void *opaque;
    unsigned n_threads; /* those that were started */
    FaultThread *threads;
};

static bool is_quit(const FaultLoop *loop, const struct epoll_event *events,
                    int n_events)
{
    for (int i = 0; i < n_events; i++) {
        if (events[i].data.fd == loop->quit) {
            return true;
        }
    }
    return false;
}

static void *fault_thread(void *opaque)
{
    FaultThread *self = opaque;
    FaultLoop *loop = self->loop;

    for (;;) {
        struct epoll_event events[2];
        UffdFault fault;
        int n = epoll_wait(loop->epoll, events, G_N_ELEMENTS(events), -1);

        if (is_quit(loop, events, n)) {
            return NULL;
        }
        while (uffd_next_fault(loop->uffd, &fault) == 0) {
            loop->handler(loop->opaque, self->index, &fault);
        }
    }
}

static int watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int open_descriptors(FaultLoop *loop)
{
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll < 0 || loop->quit < 0) {
        return -errno;
    }
    int rc = watch(loop->epoll, loop->uffd);
    return rc < 0 ? rc : watch(loop->epoll, loop->quit);
}

static int start_threads(FaultLoop *loop, unsigned n_threads)
{
    int rc = 0;

    while (rc == 0 && loop->n_threads < n_threads) {
        FaultThread *thread = &loop->threads[loop->n_threads];

        thread->loop = loop;
        thread->index = loop->n_threads;
        rc = thread_start(&thread->thread, "preheat-fault", fault_thread,
                          thread);
        loop->n_threads += rc == 0;
    }
    return rc;
}

int fault_loop_start(int uffd, unsigned n_threads, FaultHandler *handler,
                     void *opaque, FaultLoop **ret_loop)
{
    FaultLoop *loop = g_new0(FaultLoop, 1);

    loop->uffd = uffd;
    loop->handler = handler;
    loop->opaque = opaque;
    loop->epoll = loop->quit = -1;
    loop->threads = g_new0(FaultThread, n_threads);
    int rc = open_descriptors(loop);
    if (rc == 0) {
        rc = start_threads(loop, n_threads);
    }
    if (rc < 0) {
        fault_loop_stop(loop);
        return rc;
    }
    *ret_loop = loop;
    return 0;
}

void fault_loop_stop(FaultLoop *loop)
{
    uint64_t one = 1;

    if (!loop) {
        return;
    }
    if (loop->n_threads > 0) {
        /* Cannot fail: the counter is 0 and only ever written here. */
        ssize_t written = write(loop->quit, &one, sizeof one);
        g_assert(written == (ssize_t)sizeof one);
    }
    for (unsigned i = 0; i < loop->n_threads; i++) {
        pthread_join(loop->threads[i].thread, NULL);
    }
    if (loop->epoll >= 0) {
        close(loop->epoll);
    }
    if (loop->quit >= 0) {
        close(loop->quit);
    }
    g_free(loop->threads);
    g_free(loop);
}
