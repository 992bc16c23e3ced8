/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An order that is accepted has one encoding, which is the input.  Each input
 * is tried as it is and with length and checksum made right.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "formats/page-order.h"

#define LENGTH_OFF_BYTES 12
#define DIGEST_BYTES     32
#define MIN_BYTES        (LENGTH_OFF_BYTES + 8 + DIGEST_BYTES)

static void decode(const uint8_t *data, size_t len_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PageOrder) order = page_order_decode(data, len_bytes, &error);

    g_assert((order == NULL) == (error != NULL));
    if (order) {
        g_autoptr(GBytes) again = page_order_encode(order);
        g_autoptr(GBytes) input = g_bytes_new(data, len_bytes);
        g_assert(g_bytes_equal(again, input));
    }
}

static void seal(uint8_t *data, size_t len_bytes)
{
    g_autoptr(GChecksum) hash = g_checksum_new(G_CHECKSUM_SHA256);
    const uint64_t file_len_bytes = GUINT64_TO_BE((uint64_t)len_bytes);
    gsize digest_bytes = DIGEST_BYTES;

    memcpy(&data[LENGTH_OFF_BYTES], &file_len_bytes, sizeof(file_len_bytes));
    g_checksum_update(hash, data, (gssize)(len_bytes - DIGEST_BYTES));
    g_checksum_get_digest(hash, &data[len_bytes - DIGEST_BYTES], &digest_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
    decode(data, len_bytes);
    if (len_bytes >= MIN_BYTES) {
        g_autofree uint8_t *sealed = g_malloc(len_bytes);
        memcpy(sealed, data, len_bytes);
        seal(sealed, len_bytes);
        decode(sealed, len_bytes);
    }
    return 0;
}
