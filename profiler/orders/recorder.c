/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/recorder.h"

#include <pthread.h>
#include <string.h>

#include "formats/error.h"
#include "profiler/orders/normalise.h"
#include "profiler/orders/radix-sort.h"

#define CHUNK_ENTRIES 32768

typedef struct Touch {
    uint64_t page;
    uint64_t time_us;
    uint32_t block;
    PageAccess access;
} Touch;

typedef struct Chunk {
    struct Chunk *next;
    size_t n;
    Touch touches[CHUNK_ENTRIES];
} Chunk;

struct Recorder {
    /* Guards all that follows.  A pthread mutex, since ThreadSanitizer does
     * not see into GLib's. */
    pthread_mutex_t lock;
    Chunk *first;
    Chunk *last; /* the one that is being filled, NULL: none yet */
    size_t n_touches;
    size_t n_dropped;
    size_t max_touches;
};

Recorder *recorder_new(size_t max_entries)
{
    Recorder *recorder = g_new0(Recorder, 1);

    pthread_mutex_init(&recorder->lock, NULL);
    recorder->max_touches = max_entries;
    return recorder;
}

void recorder_free(Recorder *recorder)
{
    if (recorder == NULL) {
        return;
    }
    for (Chunk *chunk = recorder->first; chunk != NULL;) {
        Chunk *next = chunk->next;

        g_free(chunk);
        chunk = next;
    }
    pthread_mutex_destroy(&recorder->lock);
    g_free(recorder);
}

static Touch *next_slot_locked(Recorder *recorder)
{
    Chunk *chunk = recorder->last;

    if (recorder->n_touches >= recorder->max_touches) {
        return NULL;
    }
    if (chunk == NULL || chunk->n == CHUNK_ENTRIES) {
        chunk = g_try_malloc(sizeof(*chunk));
        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = NULL;
        chunk->n = 0;
        *(recorder->last ? &recorder->last->next : &recorder->first) = chunk;
        recorder->last = chunk;
    }
    recorder->n_touches++;
    return &chunk->touches[chunk->n++];
}

void recorder_note(Recorder *recorder, uint32_t block, uint64_t page,
                   PageAccess access, uint64_t now_us)
{
    Touch *touch;

    pthread_mutex_lock(&recorder->lock);
    touch = next_slot_locked(recorder);
    if (touch != NULL) {
        *touch = (Touch){
            .page = page,
            .time_us = now_us,
            .block = block,
            .access = access,
        };
    } else {
        recorder->n_dropped++;
    }
    pthread_mutex_unlock(&recorder->lock);
}

static size_t read_counter(Recorder *recorder, const size_t *counter)
{
    size_t n;

    pthread_mutex_lock(&recorder->lock);
    n = *counter;
    pthread_mutex_unlock(&recorder->lock);
    return n;
}

size_t recorder_count(Recorder *recorder)
{
    return read_counter(recorder, &recorder->n_touches);
}

size_t recorder_dropped(Recorder *recorder)
{
    return read_counter(recorder, &recorder->n_dropped);
}

/* A copy of all touches, for g_free(); NULL if memory does not suffice.
 * *ret_n is how many there are. */
static Touch *copy_touches(Recorder *recorder, size_t *ret_n)
{
    Touch *touches;
    size_t n = 0;

    pthread_mutex_lock(&recorder->lock);
    touches = g_try_new(Touch, recorder->n_touches + 1);
    if (touches != NULL) {
        for (Chunk *chunk = recorder->first; chunk; chunk = chunk->next) {
            memcpy(touches + n, chunk->touches, chunk->n * sizeof(Touch));
            n += chunk->n;
        }
        *ret_n = n;
    }
    pthread_mutex_unlock(&recorder->lock);
    return touches;
}

static uint64_t page_key(const void *touch)
{
    return ((const Touch *)touch)->page;
}

static uint64_t block_key(const void *touch)
{
    return ((const Touch *)touch)->block;
}

static uint64_t time_key(const void *touch)
{
    return ((const Touch *)touch)->time_us;
}

/* By time; touches of one moment by address, so that neighbours meet. */
static void sort_touches(Touch *touches, size_t n)
{
    radix_sort(touches, n, sizeof(*touches), page_key);
    radix_sort(touches, n, sizeof(*touches), block_key);
    radix_sort(touches, n, sizeof(*touches), time_key);
}

static PageOrder *order_of_touches(const Touch *touches, size_t n_touches,
                                   uint64_t start_us)
{
    PageOrder *order = page_order_new();

    for (size_t i = 0; i < n_touches; i++) {
        const Touch *touch = &touches[i];
        PageExtent extent = {
            .span = {touch->block, touch->page, 1},
            .time_us =
                touch->time_us > start_us ? touch->time_us - start_us : 0,
            .access = touch->access,
        };

        page_order_append(order, &extent);
    }
    return order;
}

PageOrder *recorder_to_order(Recorder *recorder, const GArray *blocks,
                             uint64_t start_us, const char *identity,
                             PageOrderOrigin origin, GError **error)
{
    g_autoptr(PageOrder) order = NULL;
    g_autofree Touch *touches = NULL;
    size_t n_touches = 0;

    touches = copy_touches(recorder, &n_touches);
    if (touches == NULL) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_TOO_LARGE,
                    "not enough memory to sort %zu recorded touches",
                    recorder_count(recorder));
        return NULL;
    }
    sort_touches(touches, n_touches);

    order = order_of_touches(touches, n_touches, start_us);
    for (guint i = 0; i < blocks->len; i++) {
        const PageOrderBlock *block = &g_array_index(blocks, PageOrderBlock, i);

        page_order_add_block(order, block->name, block->len_bytes,
                             block->page_bytes);
    }
    order->identity = g_strdup(identity);
    order->origin = origin;
    if (!page_order_check(order, error)) {
        g_prefix_error(error, "the recording is not a valid order: ");
        return NULL;
    }
    return order_normalise(order);
}
