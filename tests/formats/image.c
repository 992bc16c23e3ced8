/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/image.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#define PAGES_ALIGNMENT (UINT64_C(1) << 20)

static uint64_t align(uint64_t off_bytes)
{
    return (off_bytes + PAGES_ALIGNMENT - 1) & ~(PAGES_ALIGNMENT - 1);
}

/* The image under construction, written at a running offset. */
typedef struct Output {
    GByteArray *bytes;
    uint64_t off_bytes;
} Output;

static void put_bytes(Output *out, const void *bytes, size_t len_bytes)
{
    const guint old_end = out->bytes->len;
    const guint end = (guint)(out->off_bytes + len_bytes);

    if (end > old_end) {
        g_byte_array_set_size(out->bytes, end);
        memset(&out->bytes->data[old_end], 0, end - old_end);
    }
    if (len_bytes > 0) {
        memcpy(&out->bytes->data[out->off_bytes], bytes, len_bytes);
    }
    out->off_bytes += len_bytes;
}

static void put_number(Output *out, uint64_t value, size_t len_bytes)
{
    const uint64_t big_endian = GUINT64_TO_BE(value << (64 - 8 * len_bytes));

    put_bytes(out, &big_endian, len_bytes);
}

static void put_name(Output *out, const char *name)
{
    put_number(out, strlen(name), 1);
    put_bytes(out, name, strlen(name));
}

static void put_subsection(Output *out, const ImageSubsection *subsection)
{
    if (!subsection->name) {
        return;
    }
    put_number(out, 0x05, 1);
    put_name(out, subsection->name);
    put_number(out, subsection->version, 4);
    for (size_t i = 0; i < subsection->n_bytes; i++) {
        put_number(out, 0, 1);
    }
}

static void put_capabilities(Output *out, const Image *image)
{
    uint32_t n_capabilities = 0;

    while (n_capabilities < IMAGE_MAX_CAPABILITIES &&
           image->capabilities[n_capabilities]) {
        n_capabilities++;
    }
    if (n_capabilities == 0) {
        return;
    }
    put_number(out, 0x05, 1);
    put_name(out, "configuration/capabilities");
    put_number(out, 1, 4);
    put_number(out, n_capabilities + image->n_capabilities_error, 4);
    for (uint32_t i = 0; i < n_capabilities; i++) {
        put_name(out, image->capabilities[i]);
    }
}

static void put_head(Output *out, const Image *image)
{
    uint64_t ram_bytes = 0;

    for (size_t i = 0; i < image->n_blocks; i++) {
        ram_bytes += image->blocks[i].len_bytes + image->blocks[i].len_error;
    }
    put_number(out, image->magic, 4);
    put_number(out, image->version, 4);
    put_number(out, image->configuration_type, 1);
    put_number(out, strlen(image->machine) + image->machine_len_error, 4);
    put_bytes(out, image->machine, strlen(image->machine));
    put_subsection(out, &image->subsection);
    put_capabilities(out, image);
    put_bytes(out, image->before_ram, image->before_ram_bytes);
    put_number(out, image->section_type, 1);
    put_number(out, 2, 4);
    put_name(out, image->section_name);
    put_number(out, image->section_instance, 4);
    put_number(out, image->section_version, 4);
    put_number(out, (ram_bytes | 0x04) + image->ram_len_error, 8);
}

uint8_t image_page_byte(size_t block, uint64_t page)
{
    return (uint8_t)(1 + block * 100 + page % 97);
}

static void put_pages(Output *out, const ImageBlock *block, size_t index)
{
    const uint64_t start_bytes = out->off_bytes;

    for (uint64_t page = 0; page < block->n_bitmap_words * 64; page++) {
        if (block->bitmap[page / 64] >> page % 64 & 1) {
            g_autofree uint8_t *bytes = g_malloc(block->page_bytes);
            memset(bytes, image_page_byte(index, page), block->page_bytes);
            out->off_bytes = start_bytes + page * block->page_bytes;
            put_bytes(out, bytes, block->page_bytes);
        }
    }
    out->off_bytes = start_bytes + block->len_bytes;
}

static void put_block(Output *out, const ImageBlock *block, size_t index)
{
    put_name(out, block->name);
    put_number(out, block->len_bytes + block->len_error, 8);
    put_number(out, block->version, 4);
    put_number(out, block->page_bytes, 8);

    const uint64_t bitmap_off_bytes = out->off_bytes + 2 * 8;
    const uint64_t bitmap_end_bytes =
        bitmap_off_bytes + block->n_bitmap_words * 8;
    const uint64_t pages_off_bytes = align(bitmap_end_bytes);
    put_number(out, bitmap_off_bytes + block->bitmap_off_error, 8);
    put_number(out, pages_off_bytes + block->pages_off_error, 8);
    for (size_t i = 0; i < block->n_bitmap_words; i++) {
        const uint64_t word = GUINT64_TO_LE(block->bitmap[i]);
        put_bytes(out, &word, sizeof(word));
    }
    out->off_bytes = pages_off_bytes;
    put_pages(out, block, index);
}

static Image image_base(void)
{
    return (Image){
        .magic = 0x5145564d,
        .version = 3,
        .configuration_type = 0x07,
        .machine = "pc-i440fx-10.0",
        .capabilities = {"mapped-ram"},
        .section_type = 0x01,
        .section_name = "ram",
        .section_version = 4,
        .n_blocks = 3,
        .end_mark = 0x10,
        .device_state = IMAGE_DEVICE_STATE,
    };
}

static ImageBlock image_block(const char *name, uint64_t n_pages,
                              uint64_t page_bytes)
{
    return (ImageBlock){
        .name = name,
        .len_bytes = n_pages * page_bytes,
        .version = 1,
        .page_bytes = page_bytes,
        .n_bitmap_words = (n_pages + 63) / 64,
    };
}

Image image_valid(void)
{
    Image image = image_base();

    image.blocks[0] = image_block("pc.ram", 130, 4096);
    image.blocks[0].bitmap[0] = 0x23; /* pages 0, 1, 5 */
    image.blocks[0].bitmap[2] = 0x03; /* pages 128, 129 */
    image.blocks[1] = image_block("vga.vram", 64, 4096);
    image.blocks[1].bitmap[0] = UINT64_MAX;
    image.blocks[2] = image_block("pc.rom", 8, 512);
    image.blocks[2].bitmap[0] = 0x04;
    return image;
}

Image image_small(void)
{
    Image image = image_base();

    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = {"pc.ram", "vga.vram", "pc.rom"};
        image.blocks[i] = image_block(names[i], 2, 512);
        image.blocks[i].bitmap[0] = i != 1;
    }
    return image;
}

GBytes *image_bytes(const Image *image)
{
    Output out = {g_byte_array_new(), image->image_off_bytes};

    put_head(&out, image);
    for (size_t i = 0; i < image->n_blocks; i++) {
        put_block(&out, &image->blocks[i], i);
    }
    put_number(&out, image->end_mark, 8);
    put_bytes(&out, image->device_state, strlen(image->device_state));
    return g_byte_array_free_to_bytes(out.bytes);
}

void image_save(const Image *image, const char *path)
{
    g_autoptr(GBytes) bytes = image_bytes(image);
    gsize len;
    const char *data = g_bytes_get_data(bytes, &len);
    bool ok = g_file_set_contents(path, data, (gssize)len, NULL);

    g_assert_true(ok);
}

int image_write(const Image *image)
{
    g_autoptr(GBytes) bytes = image_bytes(image);
    const size_t len_bytes = g_bytes_get_size(bytes);
    int fd = memfd_create("image", MFD_CLOEXEC);

    g_assert(fd >= 0);
    g_assert(pwrite(fd, g_bytes_get_data(bytes, NULL), len_bytes, 0) ==
             (ssize_t)len_bytes);
    return fd;
}

int image_write_claiming(uint64_t n_pages)
{
    const uint64_t end_mark = GUINT64_TO_BE(UINT64_C(0x10));
    Image image = image_valid();
    ImageBlock *block = &image.blocks[0];
    uint64_t end_bytes;
    int fd;

    image.n_blocks = 1;
    image.end_mark = 0;
    image.device_state = "";
    block->len_error = n_pages * 4096 - block->len_bytes;
    memset(block->bitmap, 0, sizeof(block->bitmap));
    /* Behind the bitmap that it claims. */
    block->pages_off_error = align(n_pages / 8);
    end_bytes = PAGES_ALIGNMENT + block->pages_off_error + n_pages * 4096;

    fd = image_write(&image);
    g_assert(pwrite(fd, &end_mark, 8, (off_t)end_bytes) == 8);
    g_assert(pwrite(fd, "state", 5, (off_t)end_bytes + 8) == 5);
    return fd;
}
