/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include "cli/range-options.h"
#include "profiler/orders/error.h"
#include "profiler/orders/ranges.h"

#define GIB (UINT64_C(1) << 30)

enum {
    RAM,
    VRAM,
};

static PageOrder *an_order(void)
{
    PageOrder *order = page_order_new();

    page_order_add_block(order, "pc.ram", 8 * GIB, 4096);
    page_order_add_block(order, "0000:00:02.0/vga.vram", 1 << 20, 4096);
    return order;
}

static GArray *resolve(const char *range, const char *guest_range,
                       const char *map, GError **error)
{
    g_autoptr(PageOrder) order = an_order();
    char *ranges[] = {(char *)range, NULL};
    char *guest_ranges[] = {(char *)guest_range, NULL};
    char *maps[] = {(char *)map, NULL};
    RangeOptions options = {
        .ranges = range ? ranges : NULL,
        .guest_ranges = guest_range ? guest_ranges : NULL,
        .maps = map ? maps : NULL,
    };

    return range_options_resolve(&options, order, error);
}

static void assert_resolves(const char *range, const char *guest_range,
                            const char *map, PageSpan expected)
{
    GError *error = NULL;
    g_autoptr(GArray) ranges = resolve(range, guest_range, map, &error);
    const PageSpan *is;

    assert_no_error(error);
    assert_int_equal(ranges->len, 1);
    is = &g_array_index(ranges, PageSpan, 0);
    assert_int_equal(is->block, expected.block);
    assert_int_equal(is->first_page, expected.first_page);
    assert_int_equal(is->n_pages, expected.n_pages);
}

static void assert_fails(const char *range, const char *guest_range,
                         const char *map, UtilError code, const char *text)
{
    GError *error = NULL;

    assert_null(resolve(range, guest_range, map, &error));
    assert_util_error(error, code, text);
}

static void a_block_alone_is_all_of_it(void **state)
{
    assert_resolves("pc.ram", NULL, NULL, (PageSpan){RAM, 0, 8 * GIB / 4096});
    assert_resolves("0000:00:02.0/vga.vram", NULL, NULL,
                    (PageSpan){VRAM, 0, 256});
}

static void a_range_has_its_last_address(void **state)
{
    assert_resolves("pc.ram:0x1000-0x2fff", NULL, NULL, (PageSpan){RAM, 1, 2});
    assert_resolves("0000:00:02.0/vga.vram:4K-8K", NULL, NULL,
                    (PageSpan){VRAM, 1, 2});
}

static void a_range_may_be_given_by_its_length(void **state)
{
    assert_resolves("pc.ram:4K+8K", NULL, NULL, (PageSpan){RAM, 1, 2});
}

static void guest_addresses_go_by_a_known_machine(void **state)
{
    assert_resolves(NULL, "0x100000000+4K", "pc",
                    (PageSpan){RAM, 3 * GIB / 4096, 1});
    assert_resolves(NULL, "0x100000000+4K", "pc-q35-10.0",
                    (PageSpan){RAM, 2 * GIB / 4096, 1});
}

static void guest_addresses_go_by_a_map_that_is_given(void **state)
{
    assert_resolves(NULL, "0xfd001000-0xfd001fff",
                    "0000:00:02.0/vga.vram@0xfd000000", (PageSpan){VRAM, 1, 1});
    assert_resolves(NULL, "2G+4K", "pc.ram:1G-0x7fffffff@2G",
                    (PageSpan){RAM, GIB / 4096, 1});
}

static void ranges_come_in_the_sequence_they_were_given(void **state)
{
    g_autoptr(PageOrder) order = an_order();
    char *texts[] = {(char *)"pc.ram:8K+4K", (char *)"pc.ram:0+4K", NULL};
    RangeOptions options = {.ranges = texts};
    g_autoptr(GArray) ranges = range_options_resolve(&options, order, NULL);

    assert_int_equal(ranges->len, 2);
    assert_int_equal(g_array_index(ranges, PageSpan, 0).first_page, 2);
    assert_int_equal(g_array_index(ranges, PageSpan, 1).first_page, 0);
}

static void mistakes_are_told(void **state)
{
    assert_fails(NULL, NULL, NULL, UTIL_ERROR_USAGE, "which pages");
    assert_fails("nope", NULL, NULL, UTIL_ERROR_FAILED, "\"nope\"");
    assert_fails("nope:1-2", NULL, NULL, UTIL_ERROR_FAILED, "\"nope\"");
    assert_fails("pc.ram:1", NULL, NULL, UTIL_ERROR_USAGE, "FIRST-LAST");
    assert_fails("pc.ram:2-1", NULL, NULL, UTIL_ERROR_USAGE, "empty");
    assert_fails("pc.ram:2+0", NULL, NULL, UTIL_ERROR_USAGE, "empty");
    assert_fails("pc.ram:0xg-1", NULL, NULL, UTIL_ERROR_USAGE, "0xg");
    assert_fails("pc.ram:0-0xffffffffffffffff", NULL, NULL, UTIL_ERROR_USAGE,
                 "longer");
    assert_fails("pc.ram:0-0x1ffffffffffffffff", NULL, NULL, UTIL_ERROR_USAGE,
                 "not a 64-bit address");
    assert_fails(NULL, "0-1", NULL, UTIL_ERROR_USAGE, "--map");
    assert_fails(NULL, "0-1", "microvm", UTIL_ERROR_USAGE, "not a map");
    assert_fails(NULL, "0-1", "nope@0", UTIL_ERROR_FAILED, "\"nope\"");
}

static void addresses_beyond_the_block_are_told(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_null(resolve("pc.ram:8G+1", NULL, NULL, &error));
    assert_true(g_error_matches(error, PROFILER_ERROR, PROFILER_ERROR_RANGE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_alone_is_all_of_it),
        cmocka_unit_test(a_range_has_its_last_address),
        cmocka_unit_test(a_range_may_be_given_by_its_length),
        cmocka_unit_test(guest_addresses_go_by_a_known_machine),
        cmocka_unit_test(guest_addresses_go_by_a_map_that_is_given),
        cmocka_unit_test(ranges_come_in_the_sequence_they_were_given),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(addresses_beyond_the_block_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
