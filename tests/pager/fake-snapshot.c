/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/pager/fake-snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "formats/error.h"

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t fake_word(size_t block, uint64_t page, uint64_t at)
{
    return mix(((uint64_t)block << 56) + (page << 12) + at + 1) | 1;
}

static void init_block(RamImageBlock *block, size_t index, uint64_t n_pages,
                       unsigned share_of_8, uint64_t seed)
{
    size_t n_words = n_pages / 64 + 1;

    block->name = g_strdup_printf("block%zu", index);
    block->page_bytes = FAKE_PAGE_BYTES;
    block->n_pages = n_pages;
    block->len_bytes = n_pages * FAKE_PAGE_BYTES;
    block->pages_off_bytes = (index + 1) << 40;
    block->bitmap = g_new0(uint64_t, n_words);
    for (uint64_t page = 0; page < n_pages; page++) {
        if (mix(seed + index * n_pages + page) % 8 < share_of_8) {
            block->bitmap[page / 64] |= UINT64_C(1) << (page % 64);
            block->n_pages_in_file++;
        }
    }
}

RamImage *fake_snapshot_new(size_t n_blocks, uint64_t n_pages,
                            unsigned share_of_8, uint64_t seed)
{
    RamImage *snapshot = g_new0(RamImage, 1);

    snapshot->path = g_strdup("fake.snap");
    snapshot->fd = -1;
    snapshot->n_blocks = n_blocks;
    snapshot->blocks = g_new0(RamImageBlock, n_blocks);
    for (size_t i = 0; i < n_blocks; i++) {
        init_block(&snapshot->blocks[i], i, n_pages, share_of_8, seed);
    }
    return snapshot;
}

void fake_snapshot_free(RamImage *snapshot)
{
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        g_free(snapshot->blocks[i].name);
        g_free(snapshot->blocks[i].bitmap);
    }
    g_free(snapshot->blocks);
    g_free(snapshot->path);
    g_free(snapshot);
}

static void fill_page(uint64_t *words, size_t block, uint64_t page)
{
    for (uint64_t at = 0; at < FAKE_PAGE_BYTES; at += sizeof *words) {
        words[at / sizeof *words] = fake_word(block, page, at);
    }
}

bool fake_page_is_zero(const void *memory)
{
    static const uint8_t zeroes[FAKE_PAGE_BYTES];

    return memcmp(memory, zeroes, sizeof zeroes) == 0;
}

bool fake_page_is_right(const RamImage *snapshot, size_t block, uint64_t page,
                        const void *memory)
{
    uint64_t expected[FAKE_PAGE_BYTES / sizeof(uint64_t)];

    if (!ram_image_block_has_page(&snapshot->blocks[block], page)) {
        return fake_page_is_zero(memory);
    }
    fill_page(expected, block, page);
    return memcmp(memory, expected, sizeof expected) == 0;
}

struct FakeSource {
    PageSource base;
    const RamImage *snapshot;
    bool is_reversed;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    GArray *broken; /* of PageSpan, of one page each */
    bool all_broken;
    bool small_broken;
    unsigned first_of;       /* of so many pages one; 0: none */
    GHashTable *have_failed; /* those of them that have */
    uint64_t shut_pages;     /* reads of so many pages wait; 0: none */
    unsigned n_waiting;
    bool is_changed;
    GArray *reads; /* of PageRead, without a buffer */
    uint64_t n_warmed;

    bool is_asynchronous;
    bool quit;
    GQueue submitted; /* of PageRead */
    GHashTable *done; /* PageRead -> its result */
    pthread_t thread;
};

static bool is_page_broken_locked(const FakeSource *source,
                                  const PageSpan *read)
{
    for (guint i = 0; i < source->broken->len; i++) {
        const PageSpan *page = &g_array_index(source->broken, PageSpan, i);

        if (page->block == read->block &&
            page->first_page - read->first_page < read->n_pages) {
            return true;
        }
    }
    return false;
}

/* Whether it is the first read of a page that is to fail once; all of these
 * that it has have failed then. */
static bool fails_once_locked(FakeSource *source, const PageSpan *read)
{
    bool fails = false;

    for (uint64_t i = 0; source->first_of != 0 && i < read->n_pages; i++) {
        uint64_t word = fake_word(read->block, read->first_page + i, 0);

        if ((word >> 8) % source->first_of == 0 &&
            g_hash_table_add(source->have_failed,
                             GSIZE_TO_POINTER((gsize)word))) {
            fails = true;
        }
    }
    return fails;
}

static bool is_broken_locked(FakeSource *source, const PageSpan *read)
{
    return source->all_broken || fails_once_locked(source, read) ||
           (source->small_broken && read->n_pages == 1) ||
           is_page_broken_locked(source, read);
}

static void wait_while_shut_locked(FakeSource *source, const PageSpan *read)
{
    source->n_waiting++;
    pthread_cond_broadcast(&source->changed);
    while (source->shut_pages != 0 && read->n_pages >= source->shut_pages) {
        pthread_cond_wait(&source->changed, &source->lock);
    }
    source->n_waiting--;
}

/* Whether the read succeeds. */
static bool admit(FakeSource *source, const PageRead *asked)
{
    const PageSpan *read = &asked->span;
    PageRead noted = *asked;

    noted.buf = NULL;
    pthread_mutex_lock(&source->lock);
    g_array_append_val(source->reads, noted);
    wait_while_shut_locked(source, read);
    bool ok = !is_broken_locked(source, read);
    pthread_mutex_unlock(&source->lock);
    return ok;
}

static int fake_read(PageSource *base, PageRead *read)
{
    FakeSource *source = (FakeSource *)base;
    const PageSpan *span = &read->span;
    const RamImageBlock *block = &source->snapshot->blocks[span->block];

    read->bytes_read = 0;
    if (!admit(source, read)) {
        return -EIO;
    }
    for (uint64_t i = 0; i < span->n_pages; i++) {
        uint64_t *words = (uint64_t *)read->buf + i * FAKE_PAGE_BYTES / 8;

        if (ram_image_block_has_page(block, span->first_page + i)) {
            fill_page(words, span->block, span->first_page + i);
        } else {
            /* What must never reach the guest. */
            memset(words, 0xee, FAKE_PAGE_BYTES);
        }
    }
    read->bytes_read = span->n_pages * FAKE_PAGE_BYTES;
    return 0;
}

static void fake_warm(PageSource *base, PageRead *read)
{
    FakeSource *source = (FakeSource *)base;
    uint64_t page_bytes = base->blocks[read->span.block].page_bytes;

    /* There must be room for it. */
    memset(read->buf, 0xee, read->span.n_pages * page_bytes);
    read->bytes_read = read->span.n_pages * page_bytes;
    pthread_mutex_lock(&source->lock);
    wait_while_shut_locked(source, &read->span);
    source->n_warmed += read->span.n_pages;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

void fake_source_let_warm(FakeSource *source)
{
    source->base.warm = fake_warm;
}

uint64_t fake_source_n_warmed(FakeSource *source)
{
    pthread_mutex_lock(&source->lock);
    uint64_t n = source->n_warmed;
    pthread_mutex_unlock(&source->lock);
    return n;
}

void fake_source_await_warmed(FakeSource *source, uint64_t n)
{
    pthread_mutex_lock(&source->lock);
    while (source->n_warmed < n) {
        pthread_cond_wait(&source->changed, &source->lock);
    }
    pthread_mutex_unlock(&source->lock);
}

static void fake_sequence(const PageSource *base, size_t *ret_blocks)
{
    const FakeSource *source = (const FakeSource *)base;
    size_t n_blocks = source->snapshot->n_blocks;

    page_source_sequence_of(source->snapshot, ret_blocks);
    for (size_t i = 0; source->is_reversed && i < n_blocks / 2; i++) {
        size_t block = ret_blocks[i];

        ret_blocks[i] = ret_blocks[n_blocks - 1 - i];
        ret_blocks[n_blocks - 1 - i] = block;
    }
}

static void fake_describe(const PageSource *base, size_t block, uint64_t page,
                          PagePlace *ret_place)
{
    const FakeSource *source = (const FakeSource *)base;

    ret_place->path = source->snapshot->path;
    ret_place->off_bytes = source->snapshot->blocks[block].pages_off_bytes +
                           page * FAKE_PAGE_BYTES;
}

static bool fake_check(PageSource *base, GError **error)
{
    FakeSource *source = (FakeSource *)base;

    pthread_mutex_lock(&source->lock);
    bool is_changed = source->is_changed;
    pthread_mutex_unlock(&source->lock);
    if (is_changed) {
        g_set_error(error, FORMATS_ERROR, FORMATS_ERROR_CHANGED,
                    "%s: was changed", base->name);
    }
    return !is_changed;
}

FakeSource *fake_source_new(const RamImage *snapshot)
{
    FakeSource *source = g_new0(FakeSource, 1);

    page_source_set_blocks(&source->base, snapshot);
    source->base.read = fake_read;
    source->base.sequence = fake_sequence;
    source->base.describe = fake_describe;
    source->base.check = fake_check;
    source->snapshot = snapshot;
    source->broken = g_array_new(FALSE, FALSE, sizeof(PageSpan));
    source->reads = g_array_new(FALSE, FALSE, sizeof(PageRead));
    source->done = g_hash_table_new(NULL, NULL);
    source->have_failed = g_hash_table_new(NULL, NULL);
    pthread_mutex_init(&source->lock, NULL);
    pthread_cond_init(&source->changed, NULL);
    return source;
}

PageSource *fake_source_base(FakeSource *source)
{
    return &source->base;
}

static void end_thread(FakeSource *source)
{
    pthread_mutex_lock(&source->lock);
    source->quit = true;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
    pthread_join(source->thread, NULL);
}

void fake_source_free(FakeSource *source)
{
    if (source->is_asynchronous) {
        end_thread(source);
    }
    pthread_mutex_destroy(&source->lock);
    pthread_cond_destroy(&source->changed);
    g_array_unref(source->broken);
    g_array_unref(source->reads);
    g_hash_table_destroy(source->done);
    g_hash_table_destroy(source->have_failed);
    g_free(source->base.blocks);
    g_free(source);
}

/* ---- asynchronous reads ---- */

static void fake_submit(PageSource *base, PageRead *read)
{
    FakeSource *source = (FakeSource *)base;

    pthread_mutex_lock(&source->lock);
    g_queue_push_tail(&source->submitted, read);
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

static int fake_complete(PageSource *base, PageRead *read)
{
    FakeSource *source = (FakeSource *)base;
    void *result;

    pthread_mutex_lock(&source->lock);
    while (!g_hash_table_lookup_extended(source->done, read, NULL, &result)) {
        pthread_cond_wait(&source->changed, &source->lock);
    }
    g_hash_table_remove(source->done, read);
    pthread_mutex_unlock(&source->lock);
    return GPOINTER_TO_INT(result);
}

/* The read submitted last comes first: nobody may rely on a sequence. */
static void *read_submitted(void *opaque)
{
    FakeSource *source = opaque;

    pthread_mutex_lock(&source->lock);
    while (!source->quit) {
        PageRead *read = g_queue_pop_tail(&source->submitted);

        if (!read) {
            pthread_cond_wait(&source->changed, &source->lock);
            continue;
        }
        pthread_mutex_unlock(&source->lock);
        int rc = fake_read(&source->base, read);
        pthread_mutex_lock(&source->lock);
        g_hash_table_insert(source->done, read, GINT_TO_POINTER(rc));
        pthread_cond_broadcast(&source->changed);
    }
    pthread_mutex_unlock(&source->lock);
    return NULL;
}

void fake_source_make_asynchronous(FakeSource *source)
{
    source->base.submit = fake_submit;
    source->base.complete = fake_complete;
    source->is_asynchronous = true;
    int rc = pthread_create(&source->thread, NULL, read_submitted, source);
    /* Fails only for want of memory. */
    g_assert(rc == 0);
}

/* ---- what can go wrong ---- */

void fake_source_break(FakeSource *source, size_t block, uint64_t page)
{
    const PageSpan broken = {block, page, 1};

    pthread_mutex_lock(&source->lock);
    g_array_append_val(source->broken, broken);
    pthread_mutex_unlock(&source->lock);
}

static void set_flag(FakeSource *source, bool *flag, bool value)
{
    pthread_mutex_lock(&source->lock);
    *flag = value;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

void fake_source_break_all(FakeSource *source)
{
    set_flag(source, &source->all_broken, true);
}

void fake_source_break_small(FakeSource *source)
{
    set_flag(source, &source->small_broken, true);
}

void fake_source_break_first_of(FakeSource *source, unsigned n)
{
    pthread_mutex_lock(&source->lock);
    source->first_of = n;
    pthread_mutex_unlock(&source->lock);
}

void fake_source_mend(FakeSource *source)
{
    pthread_mutex_lock(&source->lock);
    g_array_set_size(source->broken, 0);
    source->all_broken = false;
    source->small_broken = false;
    source->first_of = 0;
    pthread_mutex_unlock(&source->lock);
}

void fake_source_change(FakeSource *source)
{
    set_flag(source, &source->is_changed, true);
}

void fake_source_reverse(FakeSource *source)
{
    source->is_reversed = true;
}

void fake_source_shut(FakeSource *source, uint64_t n_pages)
{
    pthread_mutex_lock(&source->lock);
    source->shut_pages = n_pages;
    pthread_mutex_unlock(&source->lock);
}

void fake_source_await_waiting(FakeSource *source)
{
    pthread_mutex_lock(&source->lock);
    while (source->n_waiting == 0) {
        pthread_cond_wait(&source->changed, &source->lock);
    }
    pthread_mutex_unlock(&source->lock);
}

void fake_source_open(FakeSource *source)
{
    pthread_mutex_lock(&source->lock);
    source->shut_pages = 0;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

size_t fake_source_n_reads(FakeSource *source)
{
    pthread_mutex_lock(&source->lock);
    size_t n = source->reads->len;
    pthread_mutex_unlock(&source->lock);
    return n;
}

PageSpan fake_source_read_at(FakeSource *source, size_t i)
{
    pthread_mutex_lock(&source->lock);
    PageSpan read = g_array_index(source->reads, PageRead, i).span;
    pthread_mutex_unlock(&source->lock);
    return read;
}

bool fake_source_is_once_at(FakeSource *source, size_t i)
{
    pthread_mutex_lock(&source->lock);
    bool once = g_array_index(source->reads, PageRead, i).once;
    pthread_mutex_unlock(&source->lock);
    return once;
}
