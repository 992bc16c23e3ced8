/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

#include <string.h>

#include "util/error.h"

#define SAMPLE_IDENTITY                                                        \
    "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"

static void assert_error_of(GError *error, GQuark domain, int code,
                            const char *text)
{
    assert_non_null(error);
    if (!g_error_matches(error, domain, code) ||
        !strstr(error->message, text)) {
        fail_msg("%s %d \"%s\", expected %s %d with \"%s\"",
                 g_quark_to_string(error->domain), error->code, error->message,
                 g_quark_to_string(domain), code, text);
    }
    g_error_free(error);
}

void assert_error(GError *error, FormatsError code, const char *text)
{
    assert_error_of(error, FORMATS_ERROR, code, text);
}

void assert_util_error(GError *error, const char *text)
{
    assert_error_of(error, UTIL_ERROR, UTIL_ERROR_FAILED, text);
}

void assert_no_error(const GError *error)
{
    if (error) {
        fail_msg("unexpected error %d \"%s\"", error->code, error->message);
    }
}

PageOrder *sample_order(void)
{
    static const PageExtent extents[] = {
        {.span = {0, 16, 4}, .time_us = 120},
        {.span = {0, 20, 1}, .time_us = 150, .access = PAGE_ACCESS_READ},
        {.span = {1, 0, 8}, .time_us = 90, .access = PAGE_ACCESS_WRITE},
        {.span = {1, 3, 2}, .time_us = 95},
        {.span = {0, 0, 1}, .time_us = 2000000, .idle_loads = 3},
        {.span = {0, 262143, 1},
         .time_us = INT64_MAX,
         .access = PAGE_ACCESS_READ,
         .idle_loads = UINT32_MAX},
        {.span = {1, 8, 1}, .time_us = 0},
    };
    PageOrder *order = page_order_new();

    page_order_add_block(order, "pc.ram", UINT64_C(1) << 30, 4096);
    page_order_add_block(order, "/objects/m\u00fcnz \"1\"", 9 * 512, 512);
    g_array_append_vals(order->extents, extents, G_N_ELEMENTS(extents));
    order->identity = g_strdup(SAMPLE_IDENTITY);
    order->origin = PAGE_ORDER_ORIGIN_LEARNED;
    order->n_runs = 300;
    return order;
}
