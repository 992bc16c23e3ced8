/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A snapshot that is accepted has a skeleton that is accepted.
 *
 * Pages begin at multiples of 1 MiB, which no fuzzer would get past.  So the
 * input is folded: its n-th piece of 2 KiB lies n MiB into the file.
 */
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "formats/ram-image.h"
#include "formats/skeleton.h"

#define PIECE_BYTES  2048
#define STRIDE_BYTES (1 << 20)

static int unfold(const uint8_t *data, size_t len_bytes)
{
    int fd = memfd_create("fuzz-snapshot", MFD_CLOEXEC);

    for (size_t i = 0; i * PIECE_BYTES < len_bytes; i++) {
        const size_t start = i * PIECE_BYTES;
        const size_t n = MIN(len_bytes - start, PIECE_BYTES);
        g_assert(pwrite(fd, &data[start], n, (off_t)(i * STRIDE_BYTES)) ==
                 (ssize_t)n);
    }
    return fd;
}

static RamImage *open_fd(int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(GError) error = NULL;
    RamImage *snapshot = ram_image_open(path, 0, &error);

    g_assert((snapshot == NULL) == (error != NULL));
    return snapshot;
}

static void check_skeleton(const RamImage *snapshot)
{
    g_autofree bool *lazy = g_new0(bool, snapshot->n_blocks);
    int fd = memfd_create("fuzz-skeleton", MFD_CLOEXEC);

    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        lazy[i] = i % 2 == 0;
    }
    g_assert(skeleton_write(snapshot, lazy, fd, NULL));
    g_autoptr(RamImage) skeleton = open_fd(fd);
    g_assert(skeleton && skeleton->blocks[0].n_pages_in_file == 0);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
    int fd = unfold(data, len_bytes);
    g_autoptr(RamImage) snapshot = open_fd(fd);

    close(fd);
    if (snapshot) {
        check_skeleton(snapshot);
    }
    return 0;
}
