/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What our own binary formats are written with; reader.h reads it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#define ENCODING_DIGEST_BYTES 32

/* The len_bytes lowest bytes of value, big-endian. */
void encoding_put_be(GString *out, uint64_t value, size_t len_bytes);

/* Unsigned LEB128 in as few bytes as the value takes. */
void encoding_put_varint(GString *out, uint64_t value);

/* A checksum's or an identity's bytes; digits: two for each. */
void encoding_put_hex(GString *out, const char *digits);

/* The digits of len_bytes bytes, for g_free(). */
char *encoding_to_hex(const uint8_t *bytes, size_t len_bytes);

/* Differences are taken modulo 2^64 and folded so that small ones of either
 * sign make small numbers. */
static inline uint64_t encoding_fold(uint64_t difference)
{
    return difference << 1 ^ (difference >> 63 ? UINT64_MAX : 0);
}

static inline uint64_t encoding_unfold(uint64_t folded)
{
    return folded >> 1 ^ (folded & 1 ? UINT64_MAX : 0);
}

/* SHA-256 of head and, behind it, of rest, either of which may be empty. */
void encoding_digest(const void *head, size_t head_bytes, const void *rest,
                     size_t rest_bytes,
                     uint8_t ret_digest[ENCODING_DIGEST_BYTES]);
