/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the pager gets pages from: a snapshot file, or a fake in tests.  The
 * source alone knows where its pages lie; to the pager they are pages of
 * blocks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/control-protocol.h"
#include "formats/ram-image.h"
#include "profiler/orders/replay.h"

/* A RAM block, as the source has it. */
typedef struct PageSourceBlock {
    const char *name; /* QEMU's idstr, e.g. "pc.ram" */
    uint64_t len_bytes;
    uint64_t page_bytes;
    uint64_t n_pages;         /* len_bytes / page_bytes */
    uint64_t n_pages_in_file; /* bits set in the bitmap */
    const uint64_t *bitmap;   /* bit i: the source has page i, else it is
                                 zero */
} PageSourceBlock;

/* Whether the source has page (an index, below n_pages). */
static inline bool page_source_block_has_page(const PageSourceBlock *block,
                                              uint64_t page)
{
    return (block->bitmap[page / 64] >> (page % 64)) & 1;
}

/* A read: what is asked for, and, once it is complete, what it took. */
typedef struct PageRead {
    PageSpan span;       /* block: an index into the source's */
    void *buf;           /* room for all pages of span */
    bool once;           /* nobody will want to read these pages again */
    uint64_t bytes_read; /* asked of the storage; set by the source */
} PageRead;

/* Where a page lies, for messages. */
typedef struct PagePlace {
    const char *path; /* the source's */
    uint64_t off_bytes;
} PagePlace;

/* Where in a source's hot pages one is; begins as zeroes. */
typedef struct PageHot {
    uint64_t run;
    uint64_t page; /* so many pages into it */
} PageHot;

typedef struct PageSource PageSource;

/* All functions may be called from several threads at once. */
struct PageSource {
    const char *name; /* for messages; this and the next two are constant */
    PageSourceBlock *blocks;
    size_t n_blocks;

    /*
     * Read the pages of read->span into read->buf.  Pages that are not in the
     * file are left undefined.
     * Returns 0 or -errno; -ENODATA: the file has become shorter.
     */
    int (*read)(PageSource *source, PageRead *read);

    /* The same in two steps, for reads that nobody waits for yet: begin the
     * read, which is the source's until complete() has waited for its end.
     * Both NULL: complete() is to read. */
    void (*submit)(PageSource *source, PageRead *read);
    int (*complete)(PageSource *source, PageRead *read);

    /* Have pages that will be read() where that is quick: read them from the
     * storage unless they are there already.  read->buf is but room for it.
     * NULL: there is no such place. */
    void (*warm)(PageSource *source, PageRead *read);

    /* The sequence in which the blocks are best read, by index: n_blocks
     * entries. */
    void (*sequence)(const PageSource *source, size_t *ret_blocks);
    void (*describe)(const PageSource *source, size_t block, uint64_t page,
                     PagePlace *ret_place);
    /* Whether what it read until now can be relied upon.  Returns false with
     * an error once the file has been changed; NULL: never changes. */
    bool (*check)(PageSource *source, GError **error);
    void (*free)(PageSource *source);

    /* NULL, all four, unless the source has the pages in memory of its own
     * that guest RAM is mapped from, privately (pager-map.h).  A page that was
     * read is there, and read() leaves the buffer alone. */

    /* The descriptor (still owned by the source) of the memory that has the
     * block's pages where the block has them; -1: it has none of them. */
    int (*memory)(const PageSource *source, size_t block);
    /* Whether every page of every block is there. */
    bool (*is_full)(const PageSource *source);
    /* The same as read(), into the buffer. */
    int (*peek)(PageSource *source, PageRead *read);
    /* The next pages that a guest is likely to touch and that are there;
     * returns false behind the last ones. */
    bool (*next_hot)(const PageSource *source, PageHot *at, PageSpan *ret_span);
};

/* Reads from snapshot, which must outlive it: from its file or, where it lies
 * in a qcow2, through its source.  Returns NULL with FORMATS_ERROR. */
PageSource *page_source_new_file(const RamImage *snapshot, LoadCache cache,
                                 GError **error);

/* NULL is fine. */
void page_source_free(PageSource *source);

/* Set the source's name and blocks to snapshot's, which must outlive it; the
 * array is for g_free(). */
void page_source_set_blocks(PageSource *source, const RamImage *snapshot);

/* The block called name, or NULL. */
const PageSourceBlock *page_source_find_block(const PageSource *source,
                                              const char *name);

/* The blocks in the sequence of snapshot's file, as sequence() tells it. */
void page_source_sequence_of(const RamImage *snapshot, size_t *ret_blocks);

/* source->submit() and complete(), or what stands for them. */
void page_source_submit(PageSource *source, PageRead *read);
int page_source_complete(PageSource *source, PageRead *read);

/* Read into the buffer, whatever kind of source it is. */
int page_source_peek(PageSource *source, PageRead *read);
