/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/template-source.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "formats/error.h"
#include "formats/template-protocol.h"
#include "util/thread.h"

/* A thread that waits for a page; lies on its stack. */
typedef struct Waiter {
    uint64_t block;
    uint64_t page;
    bool answered;
    int rc;
} Waiter;

struct TemplateSource {
    PageSource base;

    pthread_mutex_t lock; /* guards all down to gone */
    pthread_cond_t answered;
    GPtrArray *waiters; /* of Waiter, borrowed */
    bool gone;

    const RamImage *snapshot; /* borrowed; constant, as all below */
    int fd;                   /* borrowed */
    int quit;                 /* eventfd */
    int *memory;              /* a descriptor for each block, or -1 */
    TemplateState *state;     /* shared, for reading only */
    size_t state_len_bytes;
    uint64_t n_runs; /* that fit into it */
    TemplateCallbacks callbacks;
    pthread_t reader;
    bool reader_started;
};

static TemplateSource *of(const PageSource *base)
{
    return (TemplateSource *)base;
}

static bool is_full(const PageSource *base)
{
    /* Acquire: every page is seen. */
    return atomic_load_explicit(&of(base)->state->full, memory_order_acquire) !=
           0;
}

static bool has_page(const TemplateSource *source, size_t block, uint64_t page)
{
    const _Atomic uint64_t *bits =
        (const _Atomic uint64_t *)((const char *)source->state +
                                   template_bitmap_off_bytes(source->snapshot,
                                                             block));

    /* Acquire: the page is in the memory. */
    return (atomic_load_explicit(&bits[page / 64], memory_order_acquire) >>
            (page % 64)) &
           1;
}

/* ---- asking ---- */

static int await_answer_locked(TemplateSource *source, Waiter *waiter)
{
    while (!waiter->answered && !source->gone) {
        pthread_cond_wait(&source->answered, &source->lock);
    }
    return waiter->answered ? waiter->rc : -EPIPE;
}

static int ask(TemplateSource *source, size_t block, uint64_t page)
{
    const TemplateMessage want = {
        .kind = TEMPLATE_WANT, .block = block, .page = page};
    Waiter waiter = {.block = block, .page = page};

    pthread_mutex_lock(&source->lock);
    g_ptr_array_add(source->waiters, &waiter);
    int rc =
        source->gone ? -EPIPE : template_send(source->fd, &want, NULL, NULL, 0);
    if (rc == 0) {
        rc = await_answer_locked(source, &waiter);
    }
    g_ptr_array_remove_fast(source->waiters, &waiter);
    pthread_mutex_unlock(&source->lock);
    return rc;
}

static int template_read(PageSource *base, PageRead *read)
{
    TemplateSource *source = of(base);
    const PageSpan *span = &read->span;
    uint64_t end = span->first_page + span->n_pages;
    int rc = 0;

    read->bytes_read = 0;
    for (uint64_t page = span->first_page; rc == 0 && page < end; page++) {
        if (!has_page(source, span->block, page)) {
            rc = ask(source, span->block, page);
        }
    }
    /* Also one whose last words were not heard. */
    return rc == -EPIPE && is_full(base) ? 0 : rc;
}

static int template_peek(PageSource *base, PageRead *read)
{
    const TemplateSource *source = of(base);
    const PageSpan *span = &read->span;
    uint64_t page_bytes = base->blocks[span->block].page_bytes;
    size_t len_bytes = span->n_pages * page_bytes;
    ssize_t got = pread(source->memory[span->block], read->buf, len_bytes,
                        (off_t)(span->first_page * page_bytes));

    return got < 0 ? -errno : (size_t)got == len_bytes ? 0 : -ENODATA;
}

/* The run at at->run, as far as it is within the snapshot; false: there is
 * none. */
static bool find_run(const TemplateSource *source, const PageHot *at,
                     PageSpan *ret_span)
{
    const RamImage *image = source->snapshot;
    const TemplateRun *runs =
        (const TemplateRun *)((const char *)source->state +
                              template_bitmap_off_bytes(image,
                                                        image->n_blocks));

    if (at->run >= source->n_runs) {
        return false;
    }
    /* Copied once: the template has this memory, too. */
    const volatile TemplateRun *run = &runs[at->run];
    PageSpan span = {run->block, run->first_page, run->n_pages};
    if (span.block >= image->n_blocks ||
        !page_span_clip(&span, image->blocks[span.block].n_pages)) {
        span = (PageSpan){0};
    }
    *ret_span = span;
    return true;
}

static bool template_next_hot(const PageSource *base, PageHot *at,
                              PageSpan *ret_span)
{
    const TemplateSource *source = of(base);
    PageSpan run;

    while (find_run(source, at, &run)) {
        uint64_t page = run.first_page + at->page;
        uint64_t end = run.first_page + run.n_pages;

        while (page < end && !has_page(source, run.block, page)) {
            page++;
        }
        uint64_t first = page;
        while (page < end && has_page(source, run.block, page)) {
            page++;
        }
        *at = page < end ? (PageHot){at->run, page - run.first_page}
                         : (PageHot){at->run + 1, 0};
        if (page > first) {
            *ret_span = (PageSpan){run.block, first, page - first};
            return true;
        }
    }
    return false;
}

static int template_memory(const PageSource *base, size_t block)
{
    return of(base)->memory[block];
}

static void template_sequence(const PageSource *base, size_t *ret_blocks)
{
    page_source_sequence_of(of(base)->snapshot, ret_blocks);
}

static void template_describe(const PageSource *base, size_t block,
                              uint64_t page, PagePlace *ret_place)
{
    const RamImageBlock *layout = &of(base)->snapshot->blocks[block];

    ret_place->path = base->name;
    ret_place->off_bytes = layout->pages_off_bytes + page * layout->page_bytes;
}

static bool template_check(PageSource *base, GError **error)
{
    TemplateSource *source = of(base);

    pthread_mutex_lock(&source->lock);
    bool is_lost = source->gone && !is_full(base);
    pthread_mutex_unlock(&source->lock);
    if (is_lost) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_CHANGED,
                    "%s: the template that its pages come from has ended, and "
                    "not all of them were there",
                    base->name);
    }
    return !is_lost;
}

/* ---- what the template says ---- */

static void take_answer(TemplateSource *source, const TemplateMessage *message)
{
    pthread_mutex_lock(&source->lock);
    for (guint i = 0; i < source->waiters->len; i++) {
        Waiter *waiter = source->waiters->pdata[i];

        if (waiter->block == message->block && waiter->page == message->page) {
            waiter->answered = true;
            waiter->rc = message->kind == TEMPLATE_HAVE ? 0
                         : message->error != 0          ? -(int)message->error
                                                        : -EIO;
        }
    }
    pthread_cond_broadcast(&source->answered);
    pthread_mutex_unlock(&source->lock);
}

static void set_gone(TemplateSource *source)
{
    pthread_mutex_lock(&source->lock);
    source->gone = true;
    pthread_cond_broadcast(&source->answered);
    pthread_mutex_unlock(&source->lock);
    if (is_full(&source->base)) {
        /* It may not have come to saying so. */
        source->callbacks.full(source->callbacks.opaque);
    } else {
        source->callbacks.gone(source->callbacks.opaque);
    }
}

/* Returns false when it says no more. */
static bool take_message(TemplateSource *source)
{
    TemplateMessage message;

    if (template_receive(source->fd, &message, NULL, NULL) < 0) {
        set_gone(source);
        return false;
    }
    if (message.kind == TEMPLATE_FULL) {
        /* Answers may still come. */
        source->callbacks.full(source->callbacks.opaque);
    } else {
        take_answer(source, &message);
    }
    return true;
}

static void *reader_thread(void *opaque)
{
    TemplateSource *source = opaque;
    struct pollfd events[] = {
        {.fd = source->fd, .events = POLLIN},
        {.fd = source->quit, .events = POLLIN},
    };

    do {
        /* Fails when it is interrupted, and then both are just looked at. */
        (void)poll(events, G_N_ELEMENTS(events), -1);
    } while (events[1].revents == 0 &&
             (events[0].revents == 0 || take_message(source)));
    return NULL;
}

int template_source_start(TemplateSource *source,
                          const TemplateCallbacks *callbacks)
{
    source->callbacks = *callbacks;
    int rc =
        thread_start(&source->reader, "preheat-clone", reader_thread, source);

    source->reader_started = rc == 0;
    return rc;
}

/* ---- start and end ---- */

static void template_free(PageSource *base)
{
    TemplateSource *source = of(base);

    if (source->reader_started) {
        const uint64_t one = 1;

        (void)!write(source->quit, &one, sizeof one);
        pthread_join(source->reader, NULL);
    }
    for (size_t i = 0; i < source->snapshot->n_blocks; i++) {
        if (source->memory[i] >= 0) {
            close(source->memory[i]);
        }
    }
    if (source->state) {
        munmap(source->state, source->state_len_bytes);
    }
    if (source->quit >= 0) {
        close(source->quit);
    }
    pthread_cond_destroy(&source->answered);
    pthread_mutex_destroy(&source->lock);
    g_ptr_array_unref(source->waiters);
    g_free(source->memory);
    g_free(base->blocks);
    g_free(source);
}

static bool refuse(const TemplateSource *source, FormatsError code,
                   const char *what, GError **error)
{
    g_set_error(error, FORMATS_ERROR, code, "the template for %s: %s",
                source->base.name, what);
    return false;
}

static bool map_state(TemplateSource *source, int fd, GError **error)
{
    const RamImage *image = source->snapshot;
    size_t min_bytes = template_bitmap_off_bytes(image, image->n_blocks);
    struct stat info;

    if (fstat(fd, &info) < 0 || (uint64_t)info.st_size < min_bytes) {
        return refuse(source, FORMATS_ERROR_MALFORMED,
                      "what it shares is too short", error);
    }
    size_t len_bytes = (size_t)info.st_size;
    void *state = mmap(NULL, len_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (state == MAP_FAILED) {
        return refuse(source, FORMATS_ERROR_IO, g_strerror(errno), error);
    }
    source->state = state;
    source->state_len_bytes = len_bytes;
    /* Read once, as in find_run(). */
    uint64_t n_runs = *(const volatile uint64_t *)&source->state->n_runs;
    uint64_t max_runs = (len_bytes - min_bytes) / sizeof(TemplateRun);
    source->n_runs = MIN(n_runs, max_runs);
    return true;
}

/* Take over the descriptor of the block's memory. */
static bool take_memory(TemplateSource *source, json_int_t block, int *fd,
                        GError **error)
{
    const RamImage *image = source->snapshot;
    struct stat info;

    if (block < 0 || (uint64_t)block >= image->n_blocks ||
        source->memory[block] >= 0 || fstat(*fd, &info) < 0 ||
        (uint64_t)info.st_size != image->blocks[block].len_bytes) {
        return refuse(source, FORMATS_ERROR_MALFORMED,
                      "its memory is not the snapshot's", error);
    }
    source->memory[block] = *fd;
    *fd = -1;
    return true;
}

static bool take_welcome(TemplateSource *source, const json_t *text,
                         GArray *fds, GError **error)
{
    const char *identity =
        json_string_value(json_object_get(text, TEMPLATE_KEY_IDENTITY));
    const json_t *blocks = json_object_get(text, TEMPLATE_KEY_BLOCKS);
    size_t n_blocks = json_array_size(blocks);

    if (g_strcmp0(identity, source->snapshot->identity) != 0) {
        return refuse(source, FORMATS_ERROR_CHANGED,
                      "it was made from another snapshot", error);
    }
    if (fds->len != n_blocks + 2) {
        return refuse(source, FORMATS_ERROR_MALFORMED,
                      "files are missing in its answer", error);
    }
    if (!map_state(source, g_array_index(fds, int, 1), error)) {
        return false;
    }
    for (size_t i = 0; i < n_blocks; i++) {
        json_int_t block = json_integer_value(json_array_get(blocks, i));

        if (!take_memory(source, block, &g_array_index(fds, int, i + 2),
                         error)) {
            return false;
        }
    }
    return true;
}

static void close_fds(GArray *fds)
{
    for (guint i = 0; i < fds->len; i++) {
        if (g_array_index(fds, int, i) >= 0) {
            close(g_array_index(fds, int, i));
        }
    }
    g_array_unref(fds);
}

static void refuse_silence(const TemplateSource *source, GError **error)
{
    g_autofree char *what = template_describe_silence(source->fd);
    g_autofree char *text =
        g_strconcat(what, "; or load without --template", NULL);

    refuse(source, FORMATS_ERROR_IO, text, error);
}

/* No WELCOME has come, for rc. */
static void refuse_answer(const TemplateSource *source, int rc, GError **error)
{
    if (rc == -ETIMEDOUT) {
        refuse_silence(source, error);
    } else if (rc == -EMFILE) {
        refuse(source, FORMATS_ERROR_IO,
               "QEMU has no descriptors left for its memory: raise their "
               "limit (ulimit -n), or load without --template",
               error);
    } else if (rc == -EPIPE) {
        refuse(source, FORMATS_ERROR_IO,
               "it has hung up: it has ended, or has too many clients; start "
               "another, or load without --template",
               error);
    } else {
        refuse(source, FORMATS_ERROR_IO, g_strerror(-rc), error);
    }
}

static bool greet(TemplateSource *source, GError **error)
{
    const TemplateMessage hello = {
        .kind = TEMPLATE_HELLO,
        .error = (uint32_t)getpid(),
        .block = TEMPLATE_ROLE_CLONE,
        .page = TEMPLATE_VERSION,
    };
    GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_autofree char *text = NULL;
    TemplateMessage welcome;
    bool ok = false;

    int rc = template_send(source->fd, &hello, NULL, NULL, 0);
    if (rc == 0) {
        rc = template_await(source->fd, TEMPLATE_PATIENCE_MS);
    }
    if (rc == 0) {
        rc = template_receive(source->fd, &welcome, &text, fds);
    }
    if (rc < 0) {
        refuse_answer(source, rc, error);
    } else if (welcome.kind != TEMPLATE_WELCOME ||
               welcome.page != TEMPLATE_VERSION) {
        refuse(source, FORMATS_ERROR_VERSION,
               "it is of another version of preheat", error);
    } else {
        json_t *json = json_loads(text, 0, NULL);

        ok = take_welcome(source, json, fds, error);
        json_decref(json);
    }
    close_fds(fds);
    return ok;
}

TemplateSource *template_source_new(const RamImage *snapshot, int fd,
                                    GError **error)
{
    TemplateSource *source = g_new0(TemplateSource, 1);

    source->base = (PageSource){
        .read = template_read,
        .sequence = template_sequence,
        .describe = template_describe,
        .check = template_check,
        .free = template_free,
        .memory = template_memory,
        .is_full = is_full,
        .peek = template_peek,
        .next_hot = template_next_hot,
    };
    page_source_set_blocks(&source->base, snapshot);
    pthread_mutex_init(&source->lock, NULL);
    pthread_cond_init(&source->answered, NULL);
    source->waiters = g_ptr_array_new();
    source->snapshot = snapshot;
    source->fd = fd;
    source->quit = eventfd(0, EFD_CLOEXEC);
    source->memory = g_new(int, snapshot->n_blocks);
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        source->memory[i] = -1;
    }
    if (source->quit < 0 || !greet(source, error)) {
        if (source->quit < 0) {
            refuse(source, FORMATS_ERROR_IO, g_strerror(errno), error);
        }
        page_source_free(&source->base);
        return NULL;
    }
    return source;
}

PageSource *template_source_base(TemplateSource *source)
{
    return &source->base;
}
