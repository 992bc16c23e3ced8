/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The headers of a mapped-ram migration stream, one by one, over a Reader.
 * Only ram-image.c uses it.
 */
#pragma once

#include "formats/ram-image-block.h"
#include "formats/reader.h"

/* No field before the first RAM block's header lies beyond this: QEMU's
 * machine names, capabilities and their counts are limited below. */
#define RAM_IMAGE_HEAD_MAX_BYTES (64 * 1024)

/* A RAM block's header: counted name, length, version, three numbers. */
#define RAM_IMAGE_BLOCK_HEADER_MAX_BYTES (1 + 255 + 8 + 4 + 3 * 8)

/* Read everything up to the first RAM block's header: file header,
 * configuration, start of the RAM section.  ret_machine is for g_free();
 * ret_ram_bytes is the length of all blocks together. */
bool ram_image_read_head(Reader *reader, char **ret_machine,
                         uint64_t *ret_ram_bytes, GError **error);

/* Read one RAM block's header and check it in itself and against the length
 * of the file.  Sets all of ret_block but the bitmap and what is counted in
 * it; name is for g_free(). */
bool ram_image_read_block_header(Reader *reader, uint64_t file_len_bytes,
                                 RamImageBlock *ret_block, GError **error);
