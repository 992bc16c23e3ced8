/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ways of loading that preheat is measured against, inside QEMU as preheat is.
 * For the bench only: whatever fails ends QEMU, with the reason.
 */
#pragma once

#include <stdint.h>

#include "formats/page-order.h"
#include "formats/ram-image.h"

#define PEER_PAGE_BYTES UINT64_C(4096)

/* Guest RAM that is loaded lazily. */
typedef struct PeerBlock {
    const RamImageBlock *image; /* owned by the image */
    uint64_t start;             /* host virtual address */
} PeerBlock;

typedef struct Peer {
    RamImage *image;
    PageOrder *order; /* NULL: none */
    PeerBlock *blocks;
    size_t n_blocks;
    int control_fd;
} Peer;

/* A way: take over the blocks, whose contents are lost by that, and load on
 * in threads of its own.  The device state is loaded after it. */
typedef struct PeerWay {
    const char *name;
    void (*attach)(Peer *peer);
} PeerWay;

extern const PeerWay peer_way_fast;
extern const PeerWay peer_way_private;

/* End the process with what failed and its errno. */
_Noreturn void peer_die(const char *what, int error);

/* Tell the bench that the way has loaded what it loads by itself. */
void peer_say_loaded(const Peer *peer);
