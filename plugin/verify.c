/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin/verify.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugin/pager/page-source.h"

/* How much is compared in one go. */
#define PIECE_BYTES (UINT64_C(1) << 20)

typedef struct Verify {
    const RamImageBlock *block;
    size_t block_index;
    PageSource *source;
    uint8_t *expected; /* both of piece_pages() pages */
    uint8_t *found;
    VerifyResult *result;
} Verify;

static uint64_t piece_pages(const RamImageBlock *block)
{
    return MAX(PIECE_BYTES / block->page_bytes, 1);
}

/* By a system call rather than by pointers: an address that is not mapped is
 * then an error, and not the end of the process. */
static int read_memory(uint64_t host, void *buf, uint64_t len)
{
    uint64_t done = 0;

    while (done < len) {
        struct iovec local = {.iov_base = (uint8_t *)buf + done,
                              .iov_len = len - done};
        struct iovec remote = {.iov_base = (void *)(uintptr_t)(host + done),
                               .iov_len = len - done};
        ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EFAULT;
        }
        done += (uint64_t)n;
    }
    return 0;
}

static uint64_t first_difference(const uint8_t *a, const uint8_t *b)
{
    uint64_t i = 0;

    while (a[i] == b[i]) {
        i++;
    }
    return i;
}

static void compare_page(Verify *verify, uint64_t page, uint8_t *expected,
                         const uint8_t *found)
{
    uint64_t page_bytes = verify->block->page_bytes;
    VerifyResult *result = verify->result;

    if (!ram_image_block_has_page(verify->block, page)) {
        memset(expected, 0, page_bytes);
    }
    result->n_pages++;
    if (memcmp(expected, found, page_bytes) != 0 &&
        result->n_differing++ == 0) {
        result->block = verify->block->name;
        result->page = page;
        result->page_bytes = page_bytes;
        result->byte = first_difference(expected, found);
    }
}

static bool compare_piece(Verify *verify, uint64_t host, uint64_t page,
                          uint64_t n_pages, GError **error)
{
    uint64_t page_bytes = verify->block->page_bytes;
    PageRead read = {.span = {verify->block_index, page, n_pages},
                     .buf = verify->expected};
    int rc = read_memory(host + page * page_bytes, verify->found,
                         n_pages * page_bytes);

    if (rc == 0) {
        rc = verify->source->read(verify->source, &read);
    }
    if (rc < 0) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "RAM block %s: page %" G_GUINT64_FORMAT
                    " cannot be compared: %s",
                    verify->block->name, page, g_strerror(-rc));
        return false;
    }
    for (uint64_t i = 0; i < n_pages; i++) {
        compare_page(verify, page + i, verify->expected + i * page_bytes,
                     verify->found + i * page_bytes);
    }
    return true;
}

static bool compare_block(Verify *verify, uint64_t host, GError **error)
{
    uint64_t step = piece_pages(verify->block);
    uint64_t n_pages = verify->block->n_pages;
    bool ok = true;

    verify->expected = g_try_malloc(step * verify->block->page_bytes);
    verify->found = g_try_malloc(step * verify->block->page_bytes);
    if (!verify->expected || !verify->found) {
        g_set_error(error, PAGER_ERROR, PAGER_ERROR_SYSTEM,
                    "no memory for comparing RAM block %s",
                    verify->block->name);
        ok = false;
    }
    for (uint64_t page = 0; ok && page < n_pages; page += step) {
        ok =
            compare_piece(verify, host, page, MIN(step, n_pages - page), error);
    }
    g_free(verify->expected);
    g_free(verify->found);
    return ok;
}

bool verify_ram(const RamImage *snapshot, const PagerRange *ranges,
                size_t n_ranges, VerifyResult *ret_result, GError **error)
{
    VerifyResult result = {0};
    Verify verify = {.result = &result};
    bool ok = true;

    verify.source = page_source_new_file(snapshot, LOAD_CACHE_BUFFERED, error);
    if (!verify.source) {
        return false;
    }
    for (size_t i = 0; ok && i < n_ranges; i++) {
        verify.block = pager_range_block(&ranges[i], snapshot, error);
        ok = verify.block != NULL;
        if (ok) {
            verify.block_index = (size_t)(verify.block - snapshot->blocks);
            ok = compare_block(&verify, ranges[i].host, error);
        }
    }
    page_source_free(verify.source);
    if (ok) {
        *ret_result = result;
    }
    return ok;
}
