/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/reader.h"

#include "formats/block-name.h"

void reader_set_error_at(uint64_t off_bytes, GError **error, FormatsError code,
                         const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *reason = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, FORMATS_ERROR, code,
                "at offset %" G_GUINT64_FORMAT ": %s", off_bytes, reason);
}

bool reader_bytes(Reader *reader, const char *what, size_t len_bytes,
                  const uint8_t **ret_bytes, GError **error)
{
    size_t left_bytes = reader_left_bytes(reader);

    if (len_bytes > left_bytes) {
        return reader_fail_at(reader_off_bytes(reader), error,
                              FORMATS_ERROR_TRUNCATED,
                              "cut off: %s takes %zu bytes, %zu are left", what,
                              len_bytes, left_bytes);
    }
    *ret_bytes = &reader->data[reader->pos_bytes];
    reader->pos_bytes += len_bytes;
    return true;
}

static bool read_big_endian(Reader *reader, const char *what, size_t len_bytes,
                            uint64_t *ret_value, GError **error)
{
    const uint8_t *bytes;
    uint64_t value = 0;

    if (!reader_bytes(reader, what, len_bytes, &bytes, error)) {
        return false;
    }
    for (size_t i = 0; i < len_bytes; i++) {
        value = value << 8 | bytes[i];
    }
    *ret_value = value;
    return true;
}

bool reader_u8(Reader *reader, const char *what, uint8_t *ret_value,
               GError **error)
{
    uint64_t value;

    if (!read_big_endian(reader, what, 1, &value, error)) {
        return false;
    }
    *ret_value = (uint8_t)value;
    return true;
}

bool reader_be32(Reader *reader, const char *what, uint32_t *ret_value,
                 GError **error)
{
    uint64_t value;

    if (!read_big_endian(reader, what, 4, &value, error)) {
        return false;
    }
    *ret_value = (uint32_t)value;
    return true;
}

bool reader_be64(Reader *reader, const char *what, uint64_t *ret_value,
                 GError **error)
{
    return read_big_endian(reader, what, 8, ret_value, error);
}

bool reader_name(Reader *reader, const char *what, size_t len_bytes,
                 char **ret_name, GError **error)
{
    const size_t start_bytes = reader->pos_bytes;
    const uint8_t *bytes;

    if (!reader_bytes(reader, what, len_bytes, &bytes, error)) {
        return false;
    }
    if (!block_name_is_valid((const char *)bytes, len_bytes)) {
        reader->pos_bytes = start_bytes;
        return reader_fail_at(reader_off_bytes(reader), error,
                              FORMATS_ERROR_MALFORMED,
                              "%s is not 1 to %d bytes of printable UTF-8",
                              what, BLOCK_NAME_MAX_BYTES);
    }
    *ret_name = g_strndup((const char *)bytes, len_bytes);
    return true;
}

bool reader_counted_name(Reader *reader, const char *what, char **ret_name,
                         GError **error)
{
    const size_t start_bytes = reader->pos_bytes;
    uint8_t len_bytes;

    if (!reader_u8(reader, what, &len_bytes, error)) {
        return false;
    }
    if (!reader_name(reader, what, len_bytes, ret_name, error)) {
        reader->pos_bytes = start_bytes;
        return false;
    }
    return true;
}

bool reader_varint(Reader *reader, const char *what, uint64_t *ret_value,
                   GError **error)
{
    uint64_t value = 0;

    for (size_t i = 0; i < reader_left_bytes(reader); i++) {
        uint64_t byte = reader->data[reader->pos_bytes + i];
        bool overflows = i == 9 && byte > 1;
        bool is_padded = i > 0 && byte == 0;

        if (overflows || is_padded) {
            return reader_fail_at(reader_off_bytes(reader), error,
                                  FORMATS_ERROR_MALFORMED, "%s is %s", what,
                                  overflows ? "beyond 64 bits"
                                            : "padded with zeroes");
        }
        value |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            reader->pos_bytes += i + 1;
            *ret_value = value;
            return true;
        }
    }
    return reader_fail_at(reader_off_bytes(reader), error,
                          FORMATS_ERROR_TRUNCATED, "cut off inside %s", what);
}

bool reader_number(Reader *reader, const char *what, uint64_t min, uint64_t max,
                   uint64_t *ret_value, GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    uint64_t value;

    if (!reader_varint(reader, what, &value, error)) {
        return false;
    }
    if (value < min || value > max) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "%s is %" G_GUINT64_FORMAT
                              ", not from %" G_GUINT64_FORMAT
                              " to %" G_GUINT64_FORMAT,
                              what, value, min, max);
    }
    *ret_value = value;
    return true;
}

bool reader_count(Reader *reader, const char *what, uint64_t max,
                  size_t min_bytes, uint64_t *ret_count, GError **error)
{
    const uint64_t off_bytes = reader_off_bytes(reader);
    uint64_t count;

    if (!reader_varint(reader, what, &count, error)) {
        return false;
    }
    if (count > max) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_TOO_LARGE,
                              "%s is %" G_GUINT64_FORMAT
                              ", at most %" G_GUINT64_FORMAT " are accepted",
                              what, count, max);
    }
    if (count > reader_left_bytes(reader) / min_bytes) {
        return reader_fail_at(off_bytes, error, FORMATS_ERROR_MALFORMED,
                              "%s is %" G_GUINT64_FORMAT
                              ", too many for the %zu bytes left",
                              what, count, reader_left_bytes(reader));
    }
    *ret_count = count;
    return true;
}
