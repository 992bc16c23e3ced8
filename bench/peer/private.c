/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The snapshot's file, mapped privately over guest RAM: the kernel's own
 * faults load, and what the guest does not write is shared with the page cache.
 * A thread maps the order's pages ahead, so that touching them faults no more.
 *
 * Not fit for use: an unreadable sector is a SIGBUS, a file that is written to
 * changes guests.  A page that became zero while the guest was saved would
 * show what was in the file before; the bench saves guests that stand still.
 */
#include "bench/peer/peer.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "profiler/orders/replay.h"
#include "util/thread.h"

#define MAX_PAGES 256 /* in one call: 1 MiB */

/* Read before it is mapped: a fault on what is not in the page cache would
 * read around it, and so more than the order has. */
static void populate(const Peer *peer, const PageSpan *span, void *buffer)
{
    const PeerBlock *block = &peer->blocks[span->block];
    uint64_t off_bytes = span->first_page * PEER_PAGE_BYTES;
    uint64_t start = block->start + off_bytes;

    if (pread(peer->image->fd, buffer, span->n_pages * PEER_PAGE_BYTES,
              (off_t)(block->image->pages_off_bytes + off_bytes)) < 0) {
        peer_die("reading the snapshot", errno);
    }
    if (madvise((void *)start, span->n_pages * PEER_PAGE_BYTES,
                MADV_POPULATE_READ) < 0) {
        peer_die("MADV_POPULATE_READ", errno);
    }
}

static Replay *make_replay(const Peer *peer)
{
    g_autofree ReplayBlock *blocks = g_new0(ReplayBlock, peer->n_blocks);

    for (size_t i = 0; i < peer->n_blocks; i++) {
        const RamImageBlock *block = peer->blocks[i].image;

        blocks[i] = (ReplayBlock){block->name, block->page_bytes,
                                  block->n_pages, block->bitmap};
    }
    return replay_new(peer->order, blocks, peer->n_blocks);
}

static void *map_ahead(void *argument)
{
    const Peer *peer = argument;
    g_autoptr(Replay) replay = make_replay(peer);
    g_autofree void *buffer = g_malloc(MAX_PAGES * PEER_PAGE_BYTES);
    PageSpan span;

    while (replay_next(replay, MAX_PAGES, &span)) {
        populate(peer, &span, buffer);
    }
    return NULL;
}

static void take_over(const Peer *peer, const PeerBlock *block)
{
    void *memory = mmap((void *)block->start, block->image->len_bytes,
                        PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
                        peer->image->fd, (off_t)block->image->pages_off_bytes);

    if (memory == MAP_FAILED) {
        peer_die("mapping the snapshot", errno);
    }
}

static void attach(Peer *peer)
{
    pthread_t thread;

    for (size_t i = 0; i < peer->n_blocks; i++) {
        take_over(peer, &peer->blocks[i]);
    }
    if (!peer->order) {
        return;
    }
    if (thread_start(&thread, "private-ahead", map_ahead, peer) != 0) {
        peer_die("thread", EAGAIN);
    }
    pthread_detach(thread);
}

const PeerWay peer_way_private = {"private", attach};
