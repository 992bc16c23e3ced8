/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A bounds-checked cursor over untrusted bytes.  Every parser reads through
 * it; an error names the field and its offset in the file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "formats/error.h"

typedef struct Reader {
    const uint8_t *data; /* borrowed */
    size_t len_bytes;
    size_t pos_bytes;        /* of the next byte; at most len_bytes */
    uint64_t base_off_bytes; /* where data[0] lies in the file */
} Reader;

static inline Reader reader_make(const void *data, size_t len_bytes,
                                 uint64_t base_off_bytes)
{
    return (Reader){
        .data = data, .len_bytes = len_bytes, .base_off_bytes = base_off_bytes};
}

static inline size_t reader_left_bytes(const Reader *reader)
{
    return reader->len_bytes - reader->pos_bytes;
}

/* Offset in the file of the next byte. */
static inline uint64_t reader_off_bytes(const Reader *reader)
{
    return reader->base_off_bytes + reader->pos_bytes;
}

/* All of these read one field and move on, or return false with
 * FORMATS_ERROR_TRUNCATED (or _MALFORMED, where said) and stay where they
 * are.  what names the field in the message. */
bool reader_u8(Reader *reader, const char *what, uint8_t *ret_value,
               GError **error);
bool reader_be32(Reader *reader, const char *what, uint32_t *ret_value,
                 GError **error);
bool reader_be64(Reader *reader, const char *what, uint64_t *ret_value,
                 GError **error);

/* ret_bytes points into the reader's data. */
bool reader_bytes(Reader *reader, const char *what, size_t len_bytes,
                  const uint8_t **ret_bytes, GError **error);

/* A name as in block-name.h of the given length, for g_free(); else
 * FORMATS_ERROR_MALFORMED. */
bool reader_name(Reader *reader, const char *what, size_t len_bytes,
                 char **ret_name, GError **error);

/* The same after a byte that holds its length. */
bool reader_counted_name(Reader *reader, const char *what, char **ret_name,
                         GError **error);

/* Unsigned LEB128 in as few bytes as its value takes.  Longer, or beyond 64
 * bits: FORMATS_ERROR_MALFORMED. */
bool reader_varint(Reader *reader, const char *what, uint64_t *ret_value,
                   GError **error);

/* A varint that must be from min to max; else FORMATS_ERROR_MALFORMED. */
bool reader_number(Reader *reader, const char *what, uint64_t min, uint64_t max,
                   uint64_t *ret_value, GError **error);

/* How many follow: at most max (else FORMATS_ERROR_TOO_LARGE).  Each takes at
 * least min_bytes of what is left (else FORMATS_ERROR_MALFORMED), so that a
 * number that is read here may be allocated for. */
bool reader_count(Reader *reader, const char *what, uint64_t max,
                  size_t min_bytes, uint64_t *ret_count, GError **error);

/* Set an error that begins with the offset in the file. */
void reader_set_error_at(uint64_t off_bytes, GError **error, FormatsError code,
                         const char *format, ...) G_GNUC_PRINTF(4, 5);

/* The same, as an expression that is false: for return, and so that the
 * compiler knows that no ret_value is missing. */
#define reader_fail_at(...) (reader_set_error_at(__VA_ARGS__), false)
