/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the pager gets pages from: a snapshot file, or a fake in tests.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/ram-image.h"

typedef struct PageSource PageSource;

struct PageSource {
    /*
     * Read the pages of the snapshot's block (an index) into buf, which has
     * room for n_pages; called from several threads at once.  Pages that are
     * not in the file are left undefined.  Adds to *bytes_read what was
     * asked of the storage.
     * Returns 0 or -errno; -ENODATA: the file has become shorter.
     */
    int (*read)(PageSource *source, size_t block, uint64_t first_page,
                uint64_t n_pages, void *buf, uint64_t *bytes_read);
    void (*free)(PageSource *source);
};

/* Reads from snapshot, which must outlive it.  Returns NULL with
 * FORMATS_ERROR. */
PageSource *page_source_new_file(const RamImage *snapshot, GError **error);

/* NULL is fine. */
void page_source_free(PageSource *source);
