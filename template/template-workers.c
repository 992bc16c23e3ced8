/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "template/template-workers.h"

#include <pthread.h>

#include "formats/template-protocol.h"
#include "util/error.h"
#include "util/thread.h"

/* Where all of them wait for storage, more are started, so that pages whose
 * reads hang hold up no others; but not for ever so many pages. */
#define N_WORKERS 8

/* A clone has but a few threads that ask. */
#define MAX_WANTED 1024

/* A page that clients wait for. */
typedef struct Wanted {
    size_t block; /* constant, as the next */
    uint64_t page;
    GPtrArray *clients; /* of TemplateClient, a reference each; under
                           TemplateWorkers.lock, as the next */
    guint n_begun;      /* of these, those that were here as it was begun */
} Wanted;

struct TemplateWorkers {
    pthread_mutex_t lock; /* guards all down to ending, and what Wanted and
                             TemplateClient say */
    pthread_cond_t changed;
    GQueue wanted; /* of Wanted: those that no worker is at */
    Wanted *served[TEMPLATE_MAX_WORKERS]; /* what each worker is at, its own;
                                             or NULL */
    unsigned n_idle;                      /* workers that are at nothing */
    bool ending;                          /* the workers are to end */

    Template *template;                      /* constant */
    pthread_t threads[TEMPLATE_MAX_WORKERS]; /* the main thread's, as the
                                                next */
    unsigned n_threads;
};

typedef struct Worker {
    TemplateWorkers *workers;
    unsigned index;
} Worker;

static Wanted *wanted_new(size_t block, uint64_t page)
{
    Wanted *wanted = g_new0(Wanted, 1);

    wanted->block = block;
    wanted->page = page;
    wanted->clients =
        g_ptr_array_new_with_free_func((GDestroyNotify)template_client_unref);
    return wanted;
}

/* No client is told. */
static void wanted_free(Wanted *wanted)
{
    g_ptr_array_unref(wanted->clients);
    g_free(wanted);
}

static void push_wanted_locked(TemplateWorkers *workers, Wanted *wanted)
{
    g_queue_push_tail(&workers->wanted, wanted);
    pthread_cond_signal(&workers->changed);
}

/* The page as others want it already; NULL: nobody does. */
static Wanted *find_wanted_locked(const TemplateWorkers *workers, size_t block,
                                  uint64_t page)
{
    for (unsigned i = 0; i < TEMPLATE_MAX_WORKERS; i++) {
        Wanted *wanted = workers->served[i];

        if (wanted && wanted->block == block && wanted->page == page) {
            return wanted;
        }
    }
    for (const GList *at = workers->wanted.head; at; at = at->next) {
        Wanted *wanted = at->data;

        if (wanted->block == block && wanted->page == page) {
            return wanted;
        }
    }
    return NULL;
}

/* The next page that is wanted, served by the worker from now on; NULL: it is
 * to end. */
static Wanted *begin_next(TemplateWorkers *workers, unsigned worker)
{
    pthread_mutex_lock(&workers->lock);
    workers->n_idle++;
    while (!workers->ending && !workers->wanted.head) {
        pthread_cond_wait(&workers->changed, &workers->lock);
    }
    workers->n_idle--;
    Wanted *wanted =
        workers->ending ? NULL : g_queue_pop_head(&workers->wanted);
    if (wanted) {
        workers->served[worker] = wanted;
        wanted->n_begun = wanted->clients->len;
    }
    pthread_mutex_unlock(&workers->lock);
    return wanted;
}

/* Who has come since it was begun may have come because it can be read again:
 * to try for them is another's work. */
static void try_again_locked(TemplateWorkers *workers, Wanted *wanted)
{
    guint n_late = wanted->clients->len - wanted->n_begun;
    Wanted *again = wanted_new(wanted->block, wanted->page);

    for (guint i = 0; i < n_late; i++) {
        TemplateClient *client = wanted->clients->pdata[wanted->n_begun + i];

        g_ptr_array_add(again->clients, template_client_ref(client));
    }
    g_ptr_array_set_size(wanted->clients, (gint)wanted->n_begun);
    push_wanted_locked(workers, again);
}

/* From now on its clients are the worker's alone, and wait no more. */
static void end_served(TemplateWorkers *workers, unsigned worker,
                       Wanted *wanted, bool failed)
{
    pthread_mutex_lock(&workers->lock);
    workers->served[worker] = NULL;
    if (failed && wanted->clients->len > wanted->n_begun) {
        try_again_locked(workers, wanted);
    }
    for (guint i = 0; i < wanted->clients->len; i++) {
        TemplateClient *client = wanted->clients->pdata[i];

        client->n_wanted--;
    }
    pthread_mutex_unlock(&workers->lock);
}

static void have_page(TemplateWorkers *workers, unsigned worker, Wanted *wanted)
{
    int rc =
        template_fetch(workers->template, worker, wanted->block, wanted->page);
    const TemplateMessage message = {
        .kind = rc == 0 ? TEMPLATE_HAVE : TEMPLATE_FAILED,
        .error = (uint32_t)-rc,
        .block = wanted->block,
        .page = wanted->page,
    };

    end_served(workers, worker, wanted, rc < 0);
    for (guint i = 0; i < wanted->clients->len; i++) {
        template_client_answer(wanted->clients->pdata[i], &message, NULL);
    }
}

static void *worker_thread(void *opaque)
{
    g_autofree Worker *self = opaque;
    Wanted *wanted;

    while ((wanted = begin_next(self->workers, self->index))) {
        have_page(self->workers, self->index, wanted);
        wanted_free(wanted);
    }
    return NULL;
}

/* Returns 0 or -errno. */
static int start_thread(TemplateWorkers *workers)
{
    Worker *worker = g_new(Worker, 1);

    *worker = (Worker){workers, workers->n_threads};
    int rc = thread_start(&workers->threads[workers->n_threads],
                          "preheat-worker", worker_thread, worker);
    if (rc < 0) {
        g_free(worker);
    } else {
        workers->n_threads++;
    }
    return rc;
}

static bool start_threads(TemplateWorkers *workers, GError **error)
{
    while (workers->n_threads < N_WORKERS) {
        int rc = start_thread(workers);

        if (rc < 0) {
            util_error_set_errno(error, -rc, "no threads for a template");
            return false;
        }
    }
    return true;
}

/* Another one, where a page finds none.  If there is none to be had, the page
 * waits for those that there are. */
static void add_thread(TemplateWorkers *workers)
{
    pthread_mutex_lock(&workers->lock);
    bool is_short = workers->n_idle < g_queue_get_length(&workers->wanted);
    pthread_mutex_unlock(&workers->lock);
    if (is_short && workers->n_threads < TEMPLATE_MAX_WORKERS) {
        (void)start_thread(workers);
    }
}

TemplateWorkers *template_workers_new(Template *template, GError **error)
{
    TemplateWorkers *workers = g_new0(TemplateWorkers, 1);

    workers->template = template;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->changed, NULL);
    if (!start_threads(workers, error)) {
        template_workers_free(workers);
        return NULL;
    }
    return workers;
}

void template_workers_free(TemplateWorkers *workers)
{
    Wanted *wanted;

    if (!workers) {
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->ending = true;
    pthread_cond_broadcast(&workers->changed);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->n_threads; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    while ((wanted = g_queue_pop_head(&workers->wanted))) {
        wanted_free(wanted);
    }
    pthread_cond_destroy(&workers->changed);
    pthread_mutex_destroy(&workers->lock);
    g_free(workers);
}

bool template_workers_want(TemplateWorkers *workers, TemplateClient *client,
                           size_t block, uint64_t page)
{
    pthread_mutex_lock(&workers->lock);
    bool may = client->n_wanted < MAX_WANTED;
    if (may) {
        Wanted *wanted = find_wanted_locked(workers, block, page);

        if (!wanted) {
            wanted = wanted_new(block, page);
            push_wanted_locked(workers, wanted);
        }
        client->n_wanted++;
        g_ptr_array_add(wanted->clients, template_client_ref(client));
    }
    pthread_mutex_unlock(&workers->lock);
    add_thread(workers);
    return may;
}
