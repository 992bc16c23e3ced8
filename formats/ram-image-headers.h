/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The headers of a mapped-ram migration stream, one by one, over a Reader.
 * Only those who read a RamImage use it.
 */
#pragma once

#include "formats/ram-image-block.h"
#include "formats/reader.h"

/* No field of the configuration lies beyond this: QEMU's machine names,
 * capabilities and their counts are limited below. */
#define RAM_IMAGE_CONFIGURATION_MAX_BYTES (64 * 1024)

/* The RAM section's start: type, section ID, counted "ram", instance, version,
 * length of RAM. */
#define RAM_IMAGE_RAM_START_BYTES (1 + 4 + 1 + 3 + 4 + 4 + 8)

/* A RAM block's header: counted name, length, version, three numbers. */
#define RAM_IMAGE_BLOCK_HEADER_MAX_BYTES (1 + 255 + 8 + 4 + 3 * 8)

/* How a section may begin before RAM (savevm.c). */
#define RAM_IMAGE_SECTION_START 0x01
#define RAM_IMAGE_SECTION_FULL  0x04
#define RAM_IMAGE_COMMAND       0x08

/* What the first section of a name begins with; its body follows, whose
 * length is written nowhere. */
typedef struct RamImageSection {
    uint8_t type;
    uint32_t id;
    char *name; /* for g_free() */
    uint32_t instance;
    uint32_t version;
} RamImageSection;

bool ram_image_read_section_header(Reader *reader, RamImageSection *ret_section,
                                   GError **error);

/* Read file header and configuration, up to the first section.  ret_machine is
 * for g_free(). */
bool ram_image_read_configuration(Reader *reader, char **ret_machine,
                                  GError **error);

/* Read the RAM section's start, up to the first RAM block's header.
 * ret_ram_bytes is the length of all blocks together. */
bool ram_image_read_ram_start(Reader *reader, uint64_t *ret_ram_bytes,
                              GError **error);

/* Read one RAM block's header and check it in itself and against the length
 * of the file.  Sets all of ret_block but the bitmap and what is counted in
 * it; name is for g_free(). */
bool ram_image_read_block_header(Reader *reader, uint64_t file_len_bytes,
                                 RamImageBlock *ret_block, GError **error);
