/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Builds mapped-ram images in which every field can be wrong.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#define IMAGE_MAX_BLOCKS       3
#define IMAGE_MAX_CAPABILITIES 3
#define IMAGE_DEVICE_STATE     "device state, as QEMU would have it"

typedef struct ImageBlock {
    const char *name;
    uint64_t len_bytes;
    uint64_t len_error; /* added to what is written of it */
    uint32_t version;
    uint64_t page_bytes;
    /* Added to the offsets that are right. */
    uint64_t bitmap_off_error;
    uint64_t pages_off_error;
    uint64_t bitmap[3]; /* as many words as len_bytes takes are written */
    size_t n_bitmap_words;
} ImageBlock;

typedef struct ImageSubsection {
    const char *name;
    uint32_t version;
    size_t n_bytes; /* of zeroes, after the version */
} ImageSubsection;

typedef struct Image {
    uint64_t image_off_bytes;
    uint32_t magic;
    uint32_t version;
    uint8_t configuration_type;
    const char *machine;
    uint32_t machine_len_error; /* added to the length that is right */
    ImageSubsection subsection; /* before the capabilities; none without name */
    uint32_t n_capabilities_error;
    const char *capabilities[IMAGE_MAX_CAPABILITIES];
    const uint8_t *before_ram; /* sections, as they are; NULL: none */
    size_t before_ram_bytes;
    uint8_t section_type;
    const char *section_name;
    uint32_t section_instance;
    uint32_t section_version;
    uint64_t ram_len_error; /* added to length and flag that are right */
    ImageBlock blocks[IMAGE_MAX_BLOCKS];
    size_t n_blocks;
    uint64_t end_mark;
    const char *device_state;
} Image;

/* A valid image: "pc.ram" of 130 pages of 4096 bytes, 5 of them in the file;
 * "vga.vram" of 64 pages, all in the file; "pc.rom" of 8 pages of 512 bytes,
 * the third in the file. */
Image image_valid(void);

/* The same in little: three blocks of two pages of 512 bytes. */
Image image_small(void);

/* The image's bytes, its offset's before it included. */
GBytes *image_bytes(const Image *image);

/* Write it into a new memfd. */
int image_write(const Image *image);

/* Write it into a file of its own. */
void image_save(const Image *image, const char *path);

/* Write a sparse file of a few kilobytes into a new memfd that claims n_pages
 * of 4096 bytes. */
int image_write_claiming(uint64_t n_pages);

/* The byte that fills a page that is in the file. */
uint8_t image_page_byte(size_t block, uint64_t page);
