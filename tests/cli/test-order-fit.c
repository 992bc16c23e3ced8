/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include "cli/order-fit.h"

#define IDENTITY                                                               \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER_IDENTITY                                                         \
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

/* Pages 0 to 3 and 64 are in the file. */
static uint64_t bitmap[] = {0xf, 1};

static RamImageBlock blocks[] = {
    {
        .name = (char *)"pc.ram",
        .len_bytes = 128 * 4096,
        .page_bytes = 4096,
        .n_pages = 128,
        .bitmap = bitmap,
    },
};

static const RamImage snapshot = {
    .blocks = blocks,
    .n_blocks = 1,
    .identity = (char *)IDENTITY,
};

static PageOrder *order_with(uint64_t len_bytes, uint64_t page_bytes)
{
    PageOrder *order = page_order_new();

    page_order_add_block(order, "pc.ram", len_bytes, page_bytes);
    return order;
}

static void append(PageOrder *order, uint64_t first_page, uint64_t n_pages)
{
    const PageExtent extent = {.span = {0, first_page, n_pages}};

    page_order_append(order, &extent);
}

static void assert_fit(const PageOrder *order, uint64_t n_pages,
                       uint64_t n_in_file)
{
    OrderFit fit;
    GError *error = NULL;

    order_fit_compare(order, &snapshot, &fit, &error);
    assert_no_error(error);
    assert_int_equal(fit.n_pages, n_pages);
    assert_int_equal(fit.n_in_file, n_in_file);
}

static void assert_misfit(const PageOrder *order, const char *text)
{
    OrderFit fit;
    GError *error = NULL;

    assert_false(order_fit_compare(order, &snapshot, &fit, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, text);
}

static void pages_in_the_file_are_counted(void **state)
{
    g_autoptr(PageOrder) order = order_with(128 * 4096, 4096);

    append(order, 2, 4);
    append(order, 63, 2);
    assert_fit(order, 6, 3);
}

static void a_page_in_two_extents_counts_once(void **state)
{
    g_autoptr(PageOrder) order = order_with(128 * 4096, 4096);

    append(order, 0, 4);
    append(order, 2, 4);
    assert_fit(order, 6, 4);
}

static void larger_pages_are_counted_in_the_snapshots_pages(void **state)
{
    g_autoptr(PageOrder) order = order_with(128 * 4096, 16384);

    append(order, 0, 1);
    append(order, 16, 1);
    assert_fit(order, 8, 5);
}

static void smaller_pages_are_counted_in_the_snapshots_pages(void **state)
{
    g_autoptr(PageOrder) order = order_with(128 * 4096, 1024);

    append(order, 0, 3);
    append(order, 3, 2);
    assert_fit(order, 2, 2);
}

static void an_empty_order_fits(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();

    assert_fit(order, 0, 0);
}

static void the_same_identity_fits(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();

    order->identity = g_strdup(IDENTITY);
    assert_fit(order, 0, 0);
}

static void another_identity_does_not_fit(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();

    order->identity = g_strdup(OTHER_IDENTITY);
    assert_misfit(order, "recorded for snapshot ffffffffffffffff…");
}

static void another_length_does_not_fit(void **state)
{
    g_autoptr(PageOrder) order = order_with(256 * 4096, 4096);

    assert_misfit(order, "pc.ram is 1 MiB in the order but 512 KiB");
}

static void an_unknown_block_does_not_fit(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();

    page_order_add_block(order, "mem1", 4096, 4096);
    assert_misfit(order, "RAM block mem1 is not in the snapshot");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_in_the_file_are_counted),
        cmocka_unit_test(a_page_in_two_extents_counts_once),
        cmocka_unit_test(larger_pages_are_counted_in_the_snapshots_pages),
        cmocka_unit_test(smaller_pages_are_counted_in_the_snapshots_pages),
        cmocka_unit_test(an_empty_order_fits),
        cmocka_unit_test(the_same_identity_fits),
        cmocka_unit_test(another_identity_does_not_fit),
        cmocka_unit_test(another_length_does_not_fit),
        cmocka_unit_test(an_unknown_block_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
