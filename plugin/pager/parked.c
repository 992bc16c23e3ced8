/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/pager/parked.h"

#include <glib.h>

/* The queues of pages that wait for their next try, by how long they wait:
 * not at all, or 10 ms times a power of two.  Within a queue all wait equally
 * long, so that the first one is due first. */
#define N_DELAYS       6
#define FIRST_DELAY_US UINT64_C(10000)

typedef struct Entry {
    ParkedPage page;
    uint64_t key;
    GList link;    /* in … */
    GQueue *queue; /* … this one of Parked's; NULL: it is being tried */
    unsigned n_tries;
    uint64_t due_us; /* in a delay's queue */
    bool failed;     /* for good, once at least */
    bool told;       /* that it has failed and is waited for */
} Entry;

struct Parked {
    GHashTable *entries; /* key -> Entry */
    GQueue delays[N_DELAYS];
    GQueue failed;
    GQueue reports; /* of ParkedPage */
    bool told;      /* that something has failed, since parked_retry() */
    size_t n_failed;
    size_t n_waited_for;
    size_t n_of[N_PLACED_BY];
};

static uint64_t key_of(size_t block, uint64_t page)
{
    return ((uint64_t)block << 48) ^ page;
}

static void free_entry(void *entry)
{
    g_free(entry);
}

Parked *parked_new(void)
{
    Parked *parked = g_new0(Parked, 1);

    parked->entries =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_entry);
    return parked;
}

void parked_free(Parked *parked)
{
    if (parked) {
        g_hash_table_destroy(parked->entries);
        g_queue_clear_full(&parked->reports, g_free);
        g_free(parked);
    }
}

static Entry *find(const Parked *parked, size_t block, uint64_t page)
{
    uint64_t key = key_of(block, page);

    return g_hash_table_lookup(parked->entries, &key);
}

static void leave_queue(Entry *entry)
{
    if (entry->queue) {
        g_queue_unlink(entry->queue, &entry->link);
        entry->queue = NULL;
    }
}

static void enter_queue(Entry *entry, GQueue *queue)
{
    leave_queue(entry);
    entry->queue = queue;
    g_queue_push_tail_link(queue, &entry->link);
}

static void report(Parked *parked, const Entry *entry)
{
    ParkedPage *page = g_new(ParkedPage, 1);

    *page = entry->page;
    g_queue_push_tail(&parked->reports, page);
}

/* Of a page that has failed for good: tell whoever is to know. */
static void tell(Parked *parked, Entry *entry)
{
    if (!parked->told || (entry->page.waited_for && !entry->told)) {
        parked->told = true;
        entry->told = entry->page.waited_for;
        report(parked, entry);
    }
}

static void set_failed(Parked *parked, Entry *entry)
{
    if (!entry->failed) {
        entry->failed = true;
        parked->n_failed++;
        parked->n_waited_for += entry->page.waited_for;
    }
    enter_queue(entry, &parked->failed);
    tell(parked, entry);
}

static void set_waited_for(Parked *parked, Entry *entry)
{
    if (entry->page.waited_for) {
        return;
    }
    entry->page.waited_for = true;
    if (entry->failed) {
        parked->n_waited_for++;
        tell(parked, entry);
    }
}

/* The next try, if there is one left; the first comes at once. */
static void await_try(Parked *parked, Entry *entry, uint64_t now_us)
{
    if (entry->n_tries == N_DELAYS) {
        set_failed(parked, entry);
        return;
    }
    uint64_t delay_us =
        entry->n_tries == 0 ? 0 : FIRST_DELAY_US << (entry->n_tries - 1);
    entry->due_us = now_us + delay_us;
    enter_queue(entry, &parked->delays[entry->n_tries]);
    entry->n_tries++;
}

static Entry *new_entry(Parked *parked, const ParkedPage *page)
{
    Entry *entry = g_new0(Entry, 1);

    entry->page = *page;
    entry->key = key_of(page->block, page->page);
    entry->link.data = entry;
    entry->n_tries = 1; /* the one that has brought it here */
    parked->n_of[page->why]++;
    g_hash_table_insert(parked->entries, &entry->key, entry);
    return entry;
}

void parked_add(Parked *parked, const ParkedPage *page, bool is_retry,
                uint64_t now_us)
{
    Entry *entry = find(parked, page->block, page->page);
    bool is_new = !entry;

    if (is_new) {
        entry = new_entry(parked, page);
    } else {
        entry->page.what = page->what;
        entry->page.error = page->error;
        entry->page.is_zero = entry->page.is_zero || page->is_zero;
    }
    if (is_new || (is_retry && !entry->queue)) {
        await_try(parked, entry, now_us);
    }
    if (page->waited_for) {
        set_waited_for(parked, entry);
    }
}

static void forget(Parked *parked, Entry *entry)
{
    leave_queue(entry);
    parked->n_of[entry->page.why]--;
    if (entry->failed) {
        parked->n_failed--;
        parked->n_waited_for -= entry->page.waited_for;
    }
}

bool parked_remove(Parked *parked, size_t block, uint64_t page)
{
    Entry *entry = find(parked, block, page);

    if (!entry) {
        return false;
    }
    forget(parked, entry);
    g_hash_table_remove(parked->entries, &entry->key);
    return true;
}

/* The pages from first_page on, n_pages of them, that are gone. */
typedef struct Removal {
    Parked *parked;
    size_t block;
    uint64_t first_page;
    uint64_t n_pages;
    bool (*is_gone)(void *opaque, uint64_t page); /* NULL: all are */
    void *opaque;
} Removal;

static gboolean remove_entry(void *key, void *value, void *opaque)
{
    const Removal *removal = opaque;
    Entry *entry = value;
    const ParkedPage *page = &entry->page;
    bool is_in = page->block == removal->block &&
                 page->page - removal->first_page < removal->n_pages;
    bool is_gone =
        is_in &&
        (!removal->is_gone ||
         (!page->is_zero && removal->is_gone(removal->opaque, page->page)));

    if (is_gone) {
        forget(removal->parked, entry);
    }
    return is_gone;
}

void parked_remove_block(Parked *parked, size_t block)
{
    Removal removal = {parked, block, 0, UINT64_MAX, NULL, NULL};

    g_hash_table_foreach_remove(parked->entries, remove_entry, &removal);
}

bool parked_remove_if(Parked *parked, size_t block, uint64_t first_page,
                      uint64_t n_pages,
                      bool (*is_gone)(void *opaque, uint64_t page),
                      void *opaque)
{
    Removal removal = {parked, block, first_page, n_pages, is_gone, opaque};
    bool found = false;

    if (n_pages > parked_count(parked)) {
        return g_hash_table_foreach_remove(parked->entries, remove_entry,
                                           &removal) > 0;
    }
    for (uint64_t i = 0; i < n_pages; i++) {
        Entry *entry = find(parked, block, first_page + i);

        if (entry && remove_entry(NULL, entry, &removal)) {
            g_hash_table_remove(parked->entries, &entry->key);
            found = true;
        }
    }
    return found;
}

/* The queue whose first page is due first; NULL: all are empty. */
static const GQueue *first_due(const Parked *parked)
{
    const GQueue *found = NULL;

    for (unsigned i = 0; i < N_DELAYS; i++) {
        const GQueue *queue = &parked->delays[i];

        if (queue->head &&
            (!found || ((const Entry *)queue->head->data)->due_us <
                           ((const Entry *)found->head->data)->due_us)) {
            found = queue;
        }
    }
    return found;
}

uint64_t parked_due_us(const Parked *parked)
{
    const GQueue *queue = first_due(parked);

    return queue ? ((const Entry *)queue->head->data)->due_us : UINT64_MAX;
}

bool parked_next_due(Parked *parked, uint64_t now_us, ParkedPage *ret_page)
{
    const GQueue *queue = first_due(parked);

    if (!queue || ((const Entry *)queue->head->data)->due_us > now_us) {
        return false;
    }
    Entry *entry = queue->head->data;
    leave_queue(entry);
    *ret_page = entry->page;
    return true;
}

void parked_put_back(Parked *parked, size_t block, uint64_t page,
                     uint64_t now_us)
{
    Entry *entry = find(parked, block, page);

    if (entry && !entry->queue) {
        await_try(parked, entry, now_us);
    }
}

void parked_retry(Parked *parked)
{
    GHashTableIter iter;
    void *value;

    parked->told = false;
    g_hash_table_iter_init(&iter, parked->entries);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Entry *entry = value;

        entry->told = false;
        entry->n_tries = 0;
        if (entry->queue == &parked->failed) {
            await_try(parked, entry, 0);
        }
    }
}

bool parked_next_report(Parked *parked, ParkedPage *ret_page)
{
    g_autofree ParkedPage *page = g_queue_pop_head(&parked->reports);

    if (!page) {
        return false;
    }
    *ret_page = *page;
    return true;
}

bool parked_has_report(const Parked *parked)
{
    return parked->reports.length > 0;
}

bool parked_is_zero(const Parked *parked, size_t block, uint64_t page)
{
    const Entry *entry = find(parked, block, page);

    return entry && entry->page.is_zero;
}

size_t parked_count(const Parked *parked)
{
    return g_hash_table_size(parked->entries);
}

size_t parked_n_failed(const Parked *parked)
{
    return parked->n_failed;
}

size_t parked_n_retried(const Parked *parked)
{
    return parked->n_failed - parked->failed.length;
}

size_t parked_n_waited_for(const Parked *parked)
{
    return parked->n_waited_for;
}

size_t parked_n_of(const Parked *parked, PlacedBy why)
{
    return parked->n_of[why];
}
