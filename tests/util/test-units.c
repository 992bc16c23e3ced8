/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include "util/units.h"

static uint64_t parsed(const char *text)
{
    uint64_t bytes = 0;
    GError *error = NULL;

    units_parse_size(text, &bytes, &error);
    assert_no_error(error);
    return bytes;
}

static void assert_no_size(const char *text, const char *reason)
{
    uint64_t bytes = 4711;
    GError *error = NULL;

    assert_false(units_parse_size(text, &bytes, &error));
    assert_util_error(error, UTIL_ERROR_USAGE, reason);
    assert_int_equal(bytes, 4711);
}

static void a_number_alone_is_bytes(void **state)
{
    assert_int_equal(parsed("0"), 0);
    assert_int_equal(parsed("4096"), 4096);
    assert_int_equal(parsed("7B"), 7);
    assert_int_equal(parsed("18446744073709551615"), UINT64_MAX);
}

static void suffixes_are_powers_of_1024_in_either_case(void **state)
{
    assert_int_equal(parsed("3K"), 3 << 10);
    assert_int_equal(parsed("64m"), 64 << 20);
    assert_int_equal(parsed("1GiB"), 1 << 30);
    assert_int_equal(parsed("2TB"), UINT64_C(2) << 40);
}

static void what_is_no_size_is_refused(void **state)
{
    static const char *const texts[] = {"",   "G",   "-1",   " 1",  "1 G",
                                        "1X", "1KX", "0x10", "1.5G"};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        assert_no_size(texts[i], "is not a size");
    }
}

static void what_does_not_fit_in_64_bits_is_refused(void **state)
{
    assert_no_size("18446744073709551616", "too large");
    assert_no_size("16777216T", "too large");
}

static void times_are_read_in_microseconds(void **state)
{
    static const struct {
        const char *text;
        uint64_t us;
    } times[] = {{"2s", 2000000}, {"1.5s", 1500000}, {"250ms", 250000},
                 {"0.5ms", 500},  {"40us", 40},      {"0us", 0}};

    for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
        uint64_t us = 4711;

        assert_true(units_parse_time(times[i].text, &us, NULL));
        assert_int_equal(us, times[i].us);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const texts[] = {"",   "5",   "s",    "-1s",   " 1s",
                                        "1h", "1 s", "nans", "1e300s"};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        uint64_t us = 4711;
        GError *error = NULL;

        assert_false(units_parse_time(texts[i], &us, &error));
        assert_util_error(error, UTIL_ERROR_USAGE, "is not a time");
        assert_int_equal(us, 4711);
    }
}

static void assert_formats(char *text, const char *expected)
{
    assert_string_equal(text, expected);
    g_free(text);
}

static void sizes_for_people_are_short(void **state)
{
    assert_formats(units_format_size(0), "0 bytes");
    assert_formats(units_format_size(1023), "1023 bytes");
    assert_formats(units_format_size(4096), "4 KiB");
    assert_formats(units_format_size(UINT64_C(1) << 30), "1 GiB");
    assert_formats(units_format_size(UINT64_C(3) << 29), "1.5 GiB");
    assert_formats(units_format_size(UINT64_MAX), "16777216.0 TiB");
}

static void exact_sizes_are_not_rounded(void **state)
{
    assert_formats(units_format_exact(0), "0");
    assert_formats(units_format_exact(512), "512 bytes");
    assert_formats(units_format_exact(64 << 10), "64 KiB");
    assert_formats(units_format_exact(UINT64_C(1280) << 20), "1280 MiB");
    assert_formats(units_format_exact(UINT64_C(2) << 30), "2 GiB");
    assert_formats(units_format_exact(UINT64_C(5) << 50), "5120 TiB");
}

static void sizes_for_qemu_are_exact(void **state)
{
    assert_formats(units_format_option(0), "0");
    assert_formats(units_format_option(4097), "4097");
    assert_formats(units_format_option(UINT64_C(3) << 29), "1536M");
    assert_formats(units_format_option(UINT64_C(1) << 30), "1G");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_alone_is_bytes),
        cmocka_unit_test(suffixes_are_powers_of_1024_in_either_case),
        cmocka_unit_test(what_is_no_size_is_refused),
        cmocka_unit_test(what_does_not_fit_in_64_bits_is_refused),
        cmocka_unit_test(times_are_read_in_microseconds),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(sizes_for_people_are_short),
        cmocka_unit_test(exact_sizes_are_not_rounded),
        cmocka_unit_test(sizes_for_qemu_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
