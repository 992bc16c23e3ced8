/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/encoding.h"

void encoding_put_be(GString *out, uint64_t value, size_t len_bytes)
{
    for (size_t i = len_bytes; i-- > 0;) {
        g_string_append_c(out, (char)(value >> (8 * i)));
    }
}

void encoding_put_varint(GString *out, uint64_t value)
{
    char bytes[10];
    size_t len_bytes = 0;

    while (value >= 0x80) {
        bytes[len_bytes++] = (char)(value | 0x80);
        value >>= 7;
    }
    bytes[len_bytes++] = (char)value;
    g_string_append_len(out, bytes, (gssize)len_bytes);
}

void encoding_put_hex(GString *out, const char *digits)
{
    for (const char *p = digits; *p; p += 2) {
        g_string_append_c(out, (char)(g_ascii_xdigit_value(p[0]) << 4 |
                                      g_ascii_xdigit_value(p[1])));
    }
}

char *encoding_to_hex(const uint8_t *bytes, size_t len_bytes)
{
    GString *digits = g_string_sized_new(2 * len_bytes + 1);

    for (size_t i = 0; i < len_bytes; i++) {
        g_string_append_printf(digits, "%02x", bytes[i]);
    }
    return g_string_free(digits, FALSE);
}

void encoding_digest(const void *head, size_t head_bytes, const void *rest,
                     size_t rest_bytes,
                     uint8_t ret_digest[ENCODING_DIGEST_BYTES])
{
    g_autoptr(GChecksum) hash = g_checksum_new(G_CHECKSUM_SHA256);
    gsize digest_bytes = ENCODING_DIGEST_BYTES;

    g_checksum_update(hash, head, (gssize)head_bytes);
    if (rest_bytes > 0) {
        g_checksum_update(hash, rest, (gssize)rest_bytes);
    }
    g_checksum_get_digest(hash, ret_digest, &digest_bytes);
}
