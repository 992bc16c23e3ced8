/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The page-access order: in which sequence a guest first touched its pages.
 * docs/page-order-format.md specifies both forms on disk.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/byte-source.h"
#include "formats/page-span.h"
#include "util/file.h"

#define PAGE_ORDER_VERSION         1
#define PAGE_ORDER_MAX_BLOCKS      4096
#define PAGE_ORDER_MAX_EXTENTS     (UINT64_C(1) << 28)
#define PAGE_ORDER_IDENTITY_DIGITS 64

typedef enum {
    PAGE_ACCESS_UNKNOWN,
    PAGE_ACCESS_READ,
    PAGE_ACCESS_WRITE,
} PageAccess;

typedef enum {
    PAGE_ORDER_ORIGIN_UNKNOWN,
    PAGE_ORDER_ORIGIN_SAVE,    /* recorded in place, right after a save */
    PAGE_ORDER_ORIGIN_LOAD,    /* recorded during a load */
    PAGE_ORDER_ORIGIN_LEARNED, /* from n_runs loads or orders */
} PageOrderOrigin;

typedef struct PageOrderBlock {
    char *name;          /* QEMU's idstr; not empty, unique in the order */
    uint64_t len_bytes;  /* a multiple of page_bytes, not 0 */
    uint64_t page_bytes; /* a power of two, at least 512 */
} PageOrderBlock;

/* Pages that were first touched one after the other.  Extents of one order
 * may overlap; what counts for a page is the first extent that has it. */
typedef struct PageExtent {
    PageSpan span;       /* in PageOrder.blocks, within the block and in pages
                            of its page_bytes; not empty */
    uint64_t time_us;    /* since the recording's start; any sequence */
    uint32_t idle_loads; /* loads in a row that did not touch it */
    PageAccess access;   /* of the first page */
} PageExtent;

typedef struct PageOrder {
    GArray *blocks;  /* of PageOrderBlock */
    GArray *extents; /* of PageExtent, in sequence */
    char *identity;  /* of the snapshot, 64 lower-case hexadecimal digits;
                        NULL: not known */
    PageOrderOrigin origin;
    uint32_t n_runs; /* recordings it was made from, at least 1 */
} PageOrder;

/* An empty order of origin unknown and one run, for page_order_free(). */
PageOrder *page_order_new(void);

/* NULL is fine. */
void page_order_free(PageOrder *order);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PageOrder, page_order_free)

/* A new order without extents and with blocks, identity, origin and number of
 * runs of order. */
PageOrder *page_order_new_like(const PageOrder *order);

PageOrder *page_order_copy(const PageOrder *order);

/* Append a block (name is copied); returns its index.  The caller keeps to
 * the invariants of PageOrderBlock; page_order_check() tells. */
uint32_t page_order_add_block(PageOrder *order, const char *name,
                              uint64_t len_bytes, uint64_t page_bytes);

/* The index of the block called name, or -1. */
int64_t page_order_find_block(const PageOrder *order, const char *name);

/* Append an extent; merged into the last one if it goes on where that ends
 * and all but the time is equal and the time differs by less than a
 * millisecond. */
void page_order_append(PageOrder *order, const PageExtent *extent);

static inline const PageOrderBlock *page_order_block(const PageOrder *order,
                                                     size_t i)
{
    return &g_array_index(order->blocks, PageOrderBlock, i);
}

static inline const PageExtent *page_order_extent(const PageOrder *order,
                                                  size_t i)
{
    return &g_array_index(order->extents, PageExtent, i);
}

/* Whether the invariants above hold.  FORMATS_ERROR_MALFORMED or _TOO_LARGE
 * names the first block or extent that breaks one. */
bool page_order_check(const PageOrder *order, GError **error);

/* Equal in every field, blocks and extents in the same sequence. */
bool page_order_equal(const PageOrder *a, const PageOrder *b);

/* The binary form.  encode: a valid order, never fails.  decode: NULL with
 * FORMATS_ERROR for anything but a valid order. */
GBytes *page_order_encode(const PageOrder *order);
PageOrder *page_order_decode(const void *data, size_t len_bytes,
                             GError **error);

/* Parse the JSON form.  A syntax error is reported with line and column, any
 * other mistake by its path, as in "extents[3].block". */
PageOrder *page_order_from_json_text(const char *text, size_t len_bytes,
                                     GError **error);

/* The JSON form, for people: indented, one extent a line.  For g_free(). */
char *page_order_to_json_text(const PageOrder *order);

/* How many extents a file in the binary form says that it has, read without
 * decoding or allocating for one; false where it does not come to say that.
 * Nothing else is checked: page_order_decode() does. */
bool page_order_peek_extents(const void *data, size_t len_bytes,
                             uint64_t *ret_n_extents);

/* What a reader is ready to take.  Reading an order takes as much memory as
 * its file is long, and after that 40 bytes for each extent. */
typedef struct PageOrderLimits {
    uint64_t max_file_bytes;
    uint64_t max_extents;
} PageOrderLimits;

/* Read the binary form from source.  What is beyond limits is refused before
 * it is read or decoded; NULL stands for the format's own: 1 GiB and
 * PAGE_ORDER_MAX_EXTENTS.  Returns NULL with FORMATS_ERROR, or UTIL_ERROR where
 * it cannot be read; the message begins with the source's name. */
PageOrder *page_order_load_source(const ByteSource *source,
                                  const PageOrderLimits *limits,
                                  GError **error);

/* The same of the file at path, within the format's limits. */
PageOrder *page_order_load(const char *path, GError **error);

/* Write the binary form to path, or to a place that was opened before; see
 * file_place_write() for mode, owner and links.  FORMATS_ERROR if the order
 * is not valid or too large, UTIL_ERROR; only page_order_save() names the
 * file. */
bool page_order_save(const PageOrder *order, const char *path, GError **error);
bool page_order_save_at(const PageOrder *order, const FilePlace *place,
                        GError **error);

/* The names of enum values as JSON has them ("read", "load"); from_name
 * returns false if there is none of that name. */
const char *page_access_name(PageAccess access);
bool page_access_from_name(const char *name, PageAccess *ret_access);
const char *page_order_origin_name(PageOrderOrigin origin);
bool page_order_origin_from_name(const char *name, PageOrderOrigin *ret_origin);
