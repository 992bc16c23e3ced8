/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The entry of the bench's peers, an object that is preloaded into QEMU: so
 * it does not depend on QEMU's plugin interface.  The environment says what to
 * do:
 *
 *   PREHEAT_BENCH_WAY       the way's name
 *   PREHEAT_BENCH_SOCKET    a UNIX socket on which the bench listens
 *   PREHEAT_BENCH_SNAPSHOT  the snapshot
 *   PREHEAT_BENCH_ORDER     its order (optional)
 *
 * The bench writes a line "START NAME" for each RAM block (hexadecimal host
 * address, QEMU's name) and an empty line; the answer is the path of a
 * skeleton, for QEMU to load.  "loaded US" follows, by the monotonic clock.
 */
#include "bench/peer/peer.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "formats/skeleton.h"
#include "util/clock.h"
#include "util/thread.h"

/* As preheat has it: smaller blocks are QEMU's own to load. */
#define LAZY_MIN_BYTES (UINT64_C(2) << 20)

static const PeerWay *const ways[] = {&peer_way_fast, &peer_way_private};

_Noreturn void peer_die(const char *what, int error)
{
    fprintf(stderr, "preheat-bench-peer: %s: %s\n", what, g_strerror(error));
    _exit(1);
}

static _Noreturn void die_of(GError *error)
{
    fprintf(stderr, "preheat-bench-peer: %s\n", error->message);
    _exit(1);
}

void peer_say_loaded(const Peer *peer)
{
    dprintf(peer->control_fd, "loaded %" PRIu64 "\n", monotonic_us());
}

/* The value of a variable, which is taken out of the environment: programs
 * that QEMU starts are not to get it. */
static char *take_variable(const char *name)
{
    char *value = g_strdup(g_getenv(name));

    g_unsetenv(name);
    return value;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    if (fd < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        peer_die(path, errno);
    }
    return fd;
}

static void read_files(Peer *peer, const char *snapshot, const char *order)
{
    g_autoptr(GError) error = NULL;

    peer->image = ram_image_open(snapshot, 0, &error);
    if (peer->image && order) {
        peer->order = page_order_load(order, &error);
    }
    if (error) {
        die_of(error);
    }
    peer->blocks = g_new0(PeerBlock, peer->image->n_blocks);
}

static void add_block(Peer *peer, const char *name, uint64_t start)
{
    const RamImageBlock *block = ram_image_find_block(peer->image, name);

    if (block && block->len_bytes >= LAZY_MIN_BYTES &&
        block->page_bytes == PEER_PAGE_BYTES) {
        peer->blocks[peer->n_blocks++] = (PeerBlock){block, start};
    }
}

static void read_blocks(Peer *peer, FILE *control)
{
    char line[512];

    while (fgets(line, sizeof(line), control) && line[0] != '\n') {
        char *name = NULL;
        uint64_t start = strtoull(line, &name, 16);

        add_block(peer, g_strstrip(name), start);
    }
}

/* Returns a memfd that QEMU can load. */
static int make_skeleton(const Peer *peer)
{
    g_autofree bool *lazy = g_new0(bool, peer->image->n_blocks);
    int fd = memfd_create("skeleton", 0);
    g_autoptr(GError) error = NULL;

    for (size_t i = 0; i < peer->n_blocks; i++) {
        lazy[peer->blocks[i].image - peer->image->blocks] = true;
    }
    if (fd < 0) {
        peer_die("memfd_create", errno);
    }
    if (!skeleton_write(peer->image, lazy, fd, &error)) {
        die_of(error);
    }
    return fd;
}

typedef struct Start {
    const PeerWay *way;
    char *socket;
    char *snapshot;
    char *order;
} Start;

/* The Peer lives on as long as QEMU does. */
static void *serve(void *argument)
{
    g_autofree Start *start = argument;
    Peer *peer = g_new0(Peer, 1);
    FILE *control;

    read_files(peer, start->snapshot, start->order);
    peer->control_fd = connect_to(start->socket);
    control = fdopen(dup(peer->control_fd), "r");
    if (!control) {
        peer_die("fdopen", errno);
    }
    read_blocks(peer, control);
    fclose(control);
    int skeleton = make_skeleton(peer);
    start->way->attach(peer);
    dprintf(peer->control_fd, "/proc/self/fd/%d\n", skeleton);
    g_free(start->socket);
    g_free(start->snapshot);
    g_free(start->order);
    return NULL;
}

static const PeerWay *find_way(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
        if (strcmp(ways[i]->name, name) == 0) {
            return ways[i];
        }
    }
    peer_die(name, EINVAL);
}

/* QEMU may be started by a script: then the shell has this object, too. */
static bool is_in_qemu(void)
{
    return dlsym(RTLD_DEFAULT, "qemu_plugin_register_atexit_cb") != NULL;
}

__attribute__((constructor)) static void begin(void)
{
    g_autofree char *name = NULL;
    Start *start;
    pthread_t thread;

    if (!is_in_qemu() || (name = take_variable("PREHEAT_BENCH_WAY")) == NULL) {
        return;
    }
    start = g_new0(Start, 1);
    *start = (Start){
        .way = find_way(name),
        .socket = take_variable("PREHEAT_BENCH_SOCKET"),
        .snapshot = take_variable("PREHEAT_BENCH_SNAPSHOT"),
        .order = take_variable("PREHEAT_BENCH_ORDER"),
    };
    g_unsetenv("LD_PRELOAD");
    if (thread_start(&thread, "bench-peer", serve, start) != 0) {
        peer_die("thread", EAGAIN);
    }
    pthread_detach(thread);
}
