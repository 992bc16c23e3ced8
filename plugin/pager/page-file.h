/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file of pages, read through the kernel's page cache or past it (O_DIRECT):
 * past it, the storage writes to where the page is wanted, and no processor
 * touches a byte; but what comes next of the file is not found in memory.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "formats/control-protocol.h"

typedef struct PageFile {
    int fd;        /* through the page cache */
    int direct_fd; /* past it; -1: this cannot be done */
    LoadCache cache;
    _Atomic bool shuns_direct; /* it did not work */
    _Atomic bool shuns_warm;   /* what is read does not stay in the page
                                  cache: DAX, FUSE with direct_io */
} PageFile;

/* Open the file of fd (any descriptor of it, which stays the caller's) anew,
 * where it can be.  Returns 0 or -errno. */
int page_file_open(int fd, LoadCache cache, PageFile *ret_file);

void page_file_close(PageFile *file);

/*
 * Read len bytes at off.  once: nobody will want them again, so that they need
 * not be in the page cache afterwards.
 * Returns 0 or -errno; -ENODATA: the file has become shorter.
 */
int page_file_read(PageFile *file, void *buf, uint64_t len, uint64_t off,
                   bool once);

/* Read what is not in the page cache into it, by way of buf, which has room
 * for len bytes.  Advice: may fail.  Returns how many bytes were asked of the
 * storage. */
uint64_t page_file_warm(PageFile *file, void *buf, uint64_t len, uint64_t off);
