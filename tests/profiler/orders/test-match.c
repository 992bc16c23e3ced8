/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "profiler/orders/match.h"

#include <string.h>

#include "profiler/orders/error.h"
#include "tests/profiler/orders/orders.h"

static const char *const NAMES[] = {"a.order", "b.order", "c.order"};

static bool match(const PageOrder *a, const PageOrder *b, GError **error)
{
    const PageOrder *const orders[] = {a, b};

    return orders_check_match(orders, NAMES, 2, error);
}

static void orders_of_one_snapshot_match(void **state)
{
    g_autoptr(PageOrder) a = empty_order();
    g_autoptr(PageOrder) b = empty_order();

    assert_true(match(a, b, NULL));
}

static void an_unknown_identity_matches_any(void **state)
{
    g_autoptr(PageOrder) a = empty_order();
    g_autoptr(PageOrder) b = empty_order();

    g_clear_pointer(&a->identity, g_free);
    assert_true(match(a, b, NULL));
    assert_true(match(b, a, NULL));
}

static void different_identities_are_an_error_that_names_both(void **state)
{
    g_autoptr(PageOrder) a = empty_order();
    g_autoptr(PageOrder) unknown = empty_order();
    g_autoptr(PageOrder) c = empty_order();
    const PageOrder *const orders[] = {a, unknown, c};
    g_autoptr(GError) error = NULL;

    g_clear_pointer(&unknown->identity, g_free);
    g_free(c->identity);
    c->identity = g_strdup(identity_of('c'));

    assert_false(orders_check_match(orders, NAMES, 3, &error));
    assert_true(
        g_error_matches(error, PROFILER_ERROR, PROFILER_ERROR_MISMATCH));
    assert_non_null(strstr(error->message, "a.order and c.order"));
}

static void blocks_of_different_lengths_are_an_error(void **state)
{
    g_autoptr(PageOrder) a = empty_order();
    g_autoptr(PageOrder) b = page_order_new();
    g_autoptr(GError) error = NULL;

    page_order_add_block(b, "vga.vram", 4096, 4096);
    assert_false(match(a, b, &error));
    assert_true(
        g_error_matches(error, PROFILER_ERROR, PROFILER_ERROR_MISMATCH));
    assert_non_null(strstr(error->message, "vga.vram"));
}

static void joining_matches_blocks_by_name(void **state)
{
    g_autoptr(PageOrder) joined = empty_order();
    g_autoptr(PageOrder) order = page_order_new();
    g_autofree uint32_t *map = NULL;

    page_order_add_block(order, "pc.bios", 1024, 512);
    page_order_add_block(order, "new", 4096, 4096);
    page_order_add_block(order, "vga.vram", 1 << 20, 4096);
    map = order_join_blocks(joined, order, NULL);

    assert_int_equal(map[0], BIOS);
    assert_int_equal(map[1], N_BLOCKS);
    assert_int_equal(map[2], VRAM);
    assert_int_equal(joined->blocks->len, N_BLOCKS + 1);
    assert_int_equal(page_order_block(joined, BIOS)->len_bytes,
                     BIOS_PAGES * 512);
    assert_int_equal(page_order_block(joined, VRAM)->len_bytes, 1 << 20);
    assert_string_equal(joined->identity, identity_of('a'));
}

static void joining_takes_over_a_known_identity(void **state)
{
    g_autoptr(PageOrder) joined = page_order_new();
    g_autoptr(PageOrder) order = empty_order();
    g_autofree uint32_t *map = order_join_blocks(joined, order, NULL);

    assert_non_null(map);
    assert_string_equal(joined->identity, identity_of('a'));
}

static void different_page_sizes_cannot_be_joined(void **state)
{
    g_autoptr(PageOrder) joined = empty_order();
    g_autoptr(PageOrder) order = page_order_new();
    g_autoptr(GError) error = NULL;

    page_order_add_block(order, "pc.ram", RAM_PAGES * 4096, 16384);
    assert_null(order_join_blocks(joined, order, &error));
    assert_true(
        g_error_matches(error, PROFILER_ERROR, PROFILER_ERROR_MISMATCH));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_of_one_snapshot_match),
        cmocka_unit_test(an_unknown_identity_matches_any),
        cmocka_unit_test(different_identities_are_an_error_that_names_both),
        cmocka_unit_test(blocks_of_different_lengths_are_an_error),
        cmocka_unit_test(joining_matches_blocks_by_name),
        cmocka_unit_test(joining_takes_over_a_known_identity),
        cmocka_unit_test(different_page_sizes_cannot_be_joined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
