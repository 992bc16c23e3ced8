/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An image that is accepted has a skeleton that is accepted.
 *
 * Pages begin at multiples of 1 MiB, which no fuzzer would get past.  So the
 * input is folded: its n-th piece of 2 KiB lies n MiB into the file.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/ram-image.h"
#include "formats/skeleton.h"

#define PIECE_BYTES  UINT64_C(2048)
#define STRIDE_BYTES (UINT64_C(1) << 20)

typedef struct FoldedSource {
    ByteSource base;
    const uint8_t *data; /* borrowed */
    size_t len_bytes;
} FoldedSource;

/* Copy what piece i has of the bytes [off_bytes, end_bytes) of the file. */
static void copy_piece(const FoldedSource *folded, uint64_t i, uint8_t *bytes,
                       uint64_t off_bytes, uint64_t end_bytes)
{
    const uint64_t start = i * PIECE_BYTES;
    const uint64_t len_bytes = MIN(PIECE_BYTES, folded->len_bytes - start);
    const uint64_t from = MAX(off_bytes, i * STRIDE_BYTES);
    const uint64_t to = MIN(end_bytes, i * STRIDE_BYTES + len_bytes);

    if (from < to) {
        memcpy(&bytes[from - off_bytes],
               &folded->data[start + from - i * STRIDE_BYTES], to - from);
    }
}

static bool read_folded(const ByteSource *source, void *buffer,
                        size_t len_bytes, uint64_t off_bytes, GError **error)
{
    const FoldedSource *folded = (const FoldedSource *)source;
    const uint64_t end_bytes = off_bytes + len_bytes;

    memset(buffer, 0, len_bytes);
    for (uint64_t i = off_bytes / STRIDE_BYTES;
         i * STRIDE_BYTES < end_bytes && i * PIECE_BYTES < folded->len_bytes;
         i++) {
        copy_piece(folded, i, buffer, off_bytes, end_bytes);
    }
    return true;
}

static void free_folded(ByteSource *source)
{
    g_free(source);
}

static const ByteSourceOps folded_ops = {
    .read_at = read_folded,
    .free = free_folded,
};

static ByteSource *unfold(const uint8_t *data, size_t len_bytes)
{
    FoldedSource *folded = g_new0(FoldedSource, 1);
    const uint64_t last = len_bytes > 0 ? (len_bytes - 1) / PIECE_BYTES : 0;

    byte_source_init(&folded->base, &folded_ops, "folded",
                     last * (STRIDE_BYTES - PIECE_BYTES) + len_bytes);
    folded->data = data;
    folded->len_bytes = len_bytes;
    return &folded->base;
}

static void check_skeleton(const RamImage *image)
{
    g_autofree bool *lazy = g_new0(bool, image->n_blocks);
    int fd = memfd_create("fuzz-skeleton", MFD_CLOEXEC);

    for (size_t i = 0; i < image->n_blocks; i++) {
        lazy[i] = i % 2 == 0;
    }
    g_assert(skeleton_write(image, lazy, fd, NULL));
    g_autoptr(RamImage) skeleton = ram_image_open_fd(fd, "skeleton", 0, NULL);
    g_assert(skeleton && skeleton->blocks[0].n_pages_in_file == 0);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(RamImage) image =
        ram_image_open_source(unfold(data, len_bytes), 0, &error);

    g_assert((image == NULL) == (error != NULL));
    if (image) {
        check_skeleton(image);
    }
    return 0;
}
