/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A snapshot without a file, whose every byte is known, and a page source for
 * it that can be slow, failing or stopped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/ram-image.h"
#include "plugin/pager/page-source.h"

#define FAKE_PAGE_BYTES UINT64_C(4096)

/* A snapshot of n_blocks blocks ("block0", …) of n_pages pages each, of which
 * share_of_8 in 8 are in the file, by a rule that depends on seed. */
RamImage *fake_snapshot_new(size_t n_blocks, uint64_t n_pages,
                            unsigned share_of_8, uint64_t seed);
void fake_snapshot_free(RamImage *snapshot);

/* The 8 bytes at offset at (a multiple of 8) of a page that is in the file;
 * never 0. */
uint64_t fake_word(size_t block, uint64_t page, uint64_t at);

/* Whether the page at memory is what the snapshot has there: bytes as they
 * should be, or zeroes. */
bool fake_page_is_right(const RamImage *snapshot, size_t block, uint64_t page,
                        const void *memory);
bool fake_page_is_zero(const void *memory);

typedef struct FakeSource FakeSource;

FakeSource *fake_source_new(const RamImage *snapshot);

/* For PagerConfig; freed by fake_source_free(). */
PageSource *fake_source_base(FakeSource *source);
void fake_source_free(FakeSource *source);

/* From the next read on, fail reads that touch this page, with EIO; it may be
 * said of several pages.  Or of every one.  Or the first read of one page in so
 * many, and no later one.  Mended, all reads work again. */
void fake_source_break(FakeSource *source, size_t block, uint64_t page);
void fake_source_break_all(FakeSource *source);
void fake_source_break_first_of(FakeSource *source, unsigned n);
void fake_source_mend(FakeSource *source);

/* Fail reads of one page only, as fault threads make them. */
void fake_source_break_small(FakeSource *source);

/* Let reads of n_pages or more wait until fake_source_open(), and wait until
 * one does. */
void fake_source_shut(FakeSource *source, uint64_t n_pages);
void fake_source_await_waiting(FakeSource *source);
void fake_source_open(FakeSource *source);

/* The snapshot is changed from now on. */
void fake_source_change(FakeSource *source);

/* Before the pager is made: have a thread of the source's read what is
 * submitted. */
void fake_source_make_asynchronous(FakeSource *source);

/* Before the pager is made: it can warm pages.  Such a read can wait, too. */
void fake_source_let_warm(FakeSource *source);

/* Pages that have been warmed; wait until these are n at the least. */
uint64_t fake_source_n_warmed(FakeSource *source);
void fake_source_await_warmed(FakeSource *source, uint64_t n);

/* Before the pager is made: prefer the blocks from the last to the first. */
void fake_source_reverse(FakeSource *source);

/* The reads so far: how many, and the i-th. */
size_t fake_source_n_reads(FakeSource *source);
PageSpan fake_source_read_at(FakeSource *source, size_t i);

/* Whether the i-th was of pages that nobody will want again. */
bool fake_source_is_once_at(FakeSource *source, size_t i);
