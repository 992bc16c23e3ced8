/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An order that is accepted comes back from both of its forms.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "formats/page-order.h"

static void assert_from_text(const PageOrder *order)
{
    g_autofree char *text = page_order_to_json_text(order);
    g_autoptr(PageOrder) again =
        page_order_from_json_text(text, strlen(text), NULL);

    g_assert(again && page_order_equal(order, again));
}

static void assert_from_binary(const PageOrder *order)
{
    g_autoptr(GBytes) bytes = page_order_encode(order);
    gsize len_bytes;
    const void *data = g_bytes_get_data(bytes, &len_bytes);
    g_autoptr(PageOrder) again = page_order_decode(data, len_bytes, NULL);

    g_assert(again && page_order_equal(order, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PageOrder) order =
        page_order_from_json_text((const char *)data, len_bytes, &error);

    g_assert((order == NULL) == (error != NULL));
    if (order) {
        assert_from_text(order);
        assert_from_binary(order);
    }
    return 0;
}
