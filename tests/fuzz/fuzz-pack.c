/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A pack that is accepted has no pages but the image's, and chunks that can be
 * unpacked into the room that they say they take.  Each input is tried as it is
 * and with length and checksum made right.
 *
 * The image is that of tests/formats/image.h, image_valid().
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "formats/pack-layout.h"
#include "formats/pack.h"

#define MIN_BYTES (PACK_HEAD_BYTES + PACK_DIGEST_BYTES)

static uint64_t bitmaps[3][3] = {{0x23, 0, 0x03}, {UINT64_MAX}, {0x04}};
static RamImageBlock blocks[] = {
    {.name = (char *)"pc.ram", .page_bytes = 4096, .n_pages = 130},
    {.name = (char *)"vga.vram", .page_bytes = 4096, .n_pages = 64},
    {.name = (char *)"pc.rom", .page_bytes = 512, .n_pages = 8},
};

static RamImage fuzzed_image(char *identity)
{
    for (size_t i = 0; i < G_N_ELEMENTS(blocks); i++) {
        blocks[i].bitmap = bitmaps[i];
    }
    return (RamImage){
        .path = (char *)"vm.snap",
        .identity = identity,
        .blocks = blocks,
        .n_blocks = G_N_ELEMENTS(blocks),
    };
}

static void check_chunk(const Pack *pack, size_t i)
{
    const PackChunk *chunk = pack_chunk(pack, i);
    /* Of the exact length, so that ASan sees a byte too many written. */
    g_autofree uint8_t *pages = g_malloc(chunk->pages_len_bytes);
    uint64_t sum_bytes = 0;

    for (size_t j = 0; j < chunk->n_spans; j++) {
        const PageSpan *span = pack_span(pack, chunk->first_span + j);

        g_assert(page_span_end(span) <= blocks[span->block].n_pages);
        g_assert(ram_image_block_has_page(&blocks[span->block],
                                          page_span_end(span) - 1));
        sum_bytes += span->n_pages * blocks[span->block].page_bytes;
    }
    g_assert(sum_bytes == chunk->pages_len_bytes);
    (void)pack_read_chunk(pack, i, pages, NULL);
}

static void open_it(const uint8_t *data, size_t len_bytes)
{
    g_autofree char *identity = g_strnfill(2 * PACK_IDENTITY_BYTES, '5');
    const RamImage image = fuzzed_image(identity);
    g_autoptr(GBytes) bytes = g_bytes_new(data, len_bytes);
    g_autoptr(GError) error = NULL;
    g_autoptr(Pack) pack =
        pack_open(byte_source_new_memory(bytes, "fuzz.pack"), &image, &error);

    g_assert((pack == NULL) == (error != NULL));
    for (size_t i = 0; pack && i < pack->chunks->len; i++) {
        check_chunk(pack, i);
    }
}

static void seal(uint8_t *data, size_t len_bytes)
{
    const uint64_t file_len_bytes = GUINT64_TO_BE((uint64_t)len_bytes);
    const size_t end_bytes = len_bytes - PACK_DIGEST_BYTES;
    uint64_t off_bytes;

    memcpy(&data[PACK_LENGTH_OFF], &file_len_bytes, sizeof(file_len_bytes));
    memcpy(&off_bytes, &data[PACK_TABLE_OFF], sizeof(off_bytes));
    off_bytes = GUINT64_FROM_BE(off_bytes);
    if (off_bytes >= PACK_HEAD_BYTES && off_bytes <= end_bytes) {
        encoding_digest(data, PACK_HEAD_BYTES, &data[off_bytes],
                        end_bytes - off_bytes, &data[end_bytes]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
    open_it(data, len_bytes);
    if (len_bytes >= MIN_BYTES) {
        g_autofree uint8_t *sealed = g_malloc(len_bytes);

        memcpy(sealed, data, len_bytes);
        seal(sealed, len_bytes);
        open_it(sealed, len_bytes);
    }
    return 0;
}
