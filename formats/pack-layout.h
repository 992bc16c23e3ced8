/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the reader and the writer of a pack have in common:
 *
 *   magic (8)  version (be32)  length of the file (be64)
 *   offset of the table (be64)
 *   chunks: zstd frames
 *   table: varints and checksums
 *   SHA-256 (32) of all but the chunks
 */
#pragma once

#include "formats/encoding.h"

#define PACK_MAGIC          "\x89PHK\r\n\x1a\n"
#define PACK_MAGIC_BYTES    8
#define PACK_VERSION_OFF    8
#define PACK_LENGTH_OFF     12
#define PACK_TABLE_OFF      20
#define PACK_HEAD_BYTES     28
#define PACK_IDENTITY_BYTES 32
#define PACK_DIGEST_BYTES   ENCODING_DIGEST_BYTES

/* A zstd frame ends with the low half of XXH64 of what is in it, if its head
 * says so. */
#define PACK_FRAME_CHECKSUM_BYTES 4
