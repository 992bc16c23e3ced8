/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/warnings.h"

#include <pthread.h>
#include <stdbool.h>

#include <glib.h>

#include "util/clock.h"
#include "util/thread.h"

#define MAX_WAITING 100

struct Warnings {
    void (*write)(const char *text); /* constant */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t all_written;
    GQueue waiting; /* of char *, owned */
    bool has_writer;
};

Warnings *warnings_new(void (*write)(const char *text))
{
    Warnings *warnings = g_new0(Warnings, 1);

    warnings->write = write;
    pthread_mutex_init(&warnings->lock, NULL);
    clock_cond_init(&warnings->all_written);
    return warnings;
}

/* For g_free(); NULL: there is none, and the writer ends. */
static char *take_next(Warnings *warnings)
{
    pthread_mutex_lock(&warnings->lock);
    char *text = g_queue_pop_head(&warnings->waiting);
    if (!text) {
        warnings->has_writer = false;
        pthread_cond_broadcast(&warnings->all_written);
    }
    pthread_mutex_unlock(&warnings->lock);
    return text;
}

static void *writer_thread(void *opaque)
{
    Warnings *warnings = opaque;
    char *text;

    while ((text = take_next(warnings))) {
        warnings->write(text);
        g_free(text);
    }
    return NULL;
}

static void start_writer_locked(Warnings *warnings)
{
    pthread_t thread;

    if (thread_start(&thread, "preheat-warn", writer_thread, warnings) == 0) {
        pthread_detach(thread);
        warnings->has_writer = true;
    } else {
        g_queue_clear_full(&warnings->waiting, g_free);
    }
}

void warnings_add(Warnings *warnings, const char *text)
{
    pthread_mutex_lock(&warnings->lock);
    if (g_queue_get_length(&warnings->waiting) < MAX_WAITING) {
        g_queue_push_tail(&warnings->waiting, g_strdup(text));
    }
    if (!warnings->has_writer) {
        start_writer_locked(warnings);
    }
    pthread_mutex_unlock(&warnings->lock);
}

void warnings_await(Warnings *warnings, uint64_t until_us)
{
    pthread_mutex_lock(&warnings->lock);
    while (warnings->has_writer && monotonic_us() < until_us) {
        clock_cond_wait_until(&warnings->all_written, &warnings->lock,
                              until_us);
    }
    pthread_mutex_unlock(&warnings->lock);
}
