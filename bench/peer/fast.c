/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The algorithm of QEMU 11.2's fast snapshot load (mapped-ram together with
 * postcopy-ram): one thread serves faults, one walks RAM by address, each a
 * page at a time: read and copied if it is in the file, an ioctl of its own if
 * it is zero.
 *
 * Who sets a page's byte in `claimed` loads that page; nobody else waits for
 * more than the kernel has them wait.
 */
#include "bench/peer/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plugin/pager/uffd.h"
#include "util/thread.h"

typedef struct Fast {
    Peer *peer;
    int image_fd;
    int uffd;
    atomic_uchar **claimed; /* by block and page.  Relaxed: it hands over
                               nothing but the page's number */
} Fast;

/* Waking, unlike uffd_copy(): one system call a page. */
static void copy_page(const Fast *fast, uint64_t start, const void *page)
{
    struct uffdio_copy copy = {
        .dst = start, .src = (uintptr_t)page, .len = PEER_PAGE_BYTES};
    int rc;

    do {
        rc = ioctl(fast->uffd, UFFDIO_COPY, &copy);
    } while (rc < 0 && errno == EAGAIN);
    if (rc < 0 && errno != EEXIST) {
        peer_die("UFFDIO_COPY", errno);
    }
}

static void zero_page(const Fast *fast, uint64_t start)
{
    int rc;

    do {
        rc = uffd_zero(fast->uffd, start, PEER_PAGE_BYTES);
    } while (rc == UFFD_AGAIN);
    if (rc < 0) {
        peer_die("UFFDIO_ZEROPAGE", -rc);
    }
}

static void load_page(const Fast *fast, size_t index, uint64_t page)
{
    const PeerBlock *block = &fast->peer->blocks[index];
    uint64_t start = block->start + page * PEER_PAGE_BYTES;
    char buffer[PEER_PAGE_BYTES];

    if (atomic_exchange_explicit(&fast->claimed[index][page], 1,
                                 memory_order_relaxed)) {
        return;
    }
    if (!ram_image_block_has_page(block->image, page)) {
        zero_page(fast, start);
        return;
    }
    if (pread(fast->image_fd, buffer, sizeof(buffer),
              (off_t)(block->image->pages_off_bytes +
                      page * PEER_PAGE_BYTES)) != sizeof(buffer)) {
        peer_die("reading the snapshot", errno);
    }
    copy_page(fast, start, buffer);
}

static void serve_fault(const Fast *fast, uint64_t address)
{
    for (size_t i = 0; i < fast->peer->n_blocks; i++) {
        const PeerBlock *block = &fast->peer->blocks[i];

        if (address - block->start < block->image->len_bytes) {
            load_page(fast, i, (address - block->start) / PEER_PAGE_BYTES);
        }
    }
}

static void *serve_faults(void *argument)
{
    const Fast *fast = argument;
    struct pollfd poll_fd = {.fd = fast->uffd, .events = POLLIN};
    UffdMessage message;

    for (;;) {
        poll(&poll_fd, 1, -1);
        while (uffd_next_message(fast->uffd, &message) == 0) {
            serve_fault(fast, message.fault.address);
        }
    }
    return NULL;
}

static void *load_all(void *argument)
{
    const Fast *fast = argument;

    for (size_t i = 0; i < fast->peer->n_blocks; i++) {
        for (uint64_t page = 0; page < fast->peer->blocks[i].image->n_pages;
             page++) {
            load_page(fast, i, page);
        }
    }
    peer_say_loaded(fast->peer);
    return NULL;
}

static void take_over(const Fast *fast, const PeerBlock *block)
{
    uint64_t len_bytes = block->image->len_bytes;
    int rc = uffd_register(fast->uffd, block->start, len_bytes, UFFD_MISSING);

    if (rc < 0) {
        peer_die("UFFDIO_REGISTER", -rc);
    }
    if (madvise((void *)block->start, len_bytes, MADV_DONTNEED) < 0) {
        peer_die("MADV_DONTNEED", errno);
    }
}

static void start(const char *name, void *(*function)(void *), Fast *fast)
{
    pthread_t thread;
    int rc = thread_start(&thread, name, function, fast);

    if (rc != 0) {
        peer_die(name, -rc);
    }
    pthread_detach(thread);
}

static void attach(Peer *peer)
{
    Fast *fast = g_new0(Fast, 1);
    UffdCaps caps;
    int rc = uffd_open(&fast->uffd, &caps);

    if (rc < 0) {
        peer_die("userfaultfd", -rc);
    }
    fast->peer = peer;
    fast->image_fd = peer->image->fd;
    fast->claimed = g_new0(atomic_uchar *, peer->n_blocks);
    for (size_t i = 0; i < peer->n_blocks; i++) {
        fast->claimed[i] = g_new0(atomic_uchar, peer->blocks[i].image->n_pages);
        take_over(fast, &peer->blocks[i]);
    }
    start("fast-faults", serve_faults, fast);
    start("fast-eager", load_all, fast);
}

const PeerWay peer_way_fast = {"fast", attach};
