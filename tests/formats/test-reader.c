/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

#include "formats/reader.h"

static void big_endian_numbers_are_read_in_sequence(void **state)
{
    static const uint8_t data[] = {0x7f, 1, 2, 3, 4, 0xff, 0, 0, 0, 0, 0, 0, 9};
    Reader reader = reader_make(data, sizeof(data), 100);
    uint8_t small;
    uint32_t middle;
    uint64_t large;

    assert_true(reader_u8(&reader, "a", &small, NULL));
    assert_true(reader_be32(&reader, "b", &middle, NULL));
    assert_true(reader_be64(&reader, "c", &large, NULL));
    assert_int_equal(small, 0x7f);
    assert_int_equal(middle, 0x01020304);
    assert_true(large == UINT64_C(0xff00000000000009));
    assert_int_equal(reader_left_bytes(&reader), 0);
    assert_int_equal(reader_off_bytes(&reader), 113);
}

static void a_field_cut_off_is_named_with_its_offset(void **state)
{
    static const uint8_t data[] = {1, 2, 3, 4, 5};
    Reader reader = reader_make(data, sizeof(data), 1000);
    GError *error = NULL;
    uint32_t value;

    assert_true(reader_be32(&reader, "first", &value, NULL));
    assert_false(reader_be32(&reader, "the second", &value, &error));
    assert_error(error, FORMATS_ERROR_TRUNCATED,
                 "at offset 1004: cut off: the second takes 4 bytes, 1");
    assert_int_equal(reader_left_bytes(&reader), 1);
}

static void bytes_beyond_the_end_are_refused_even_if_the_sum_wraps(void **state)
{
    static const uint8_t data[] = {1, 2, 3};
    Reader reader = reader_make(data, sizeof(data), 0);
    GError *error = NULL;
    const uint8_t *bytes;
    uint8_t first;

    assert_true(reader_u8(&reader, "a", &first, NULL));
    assert_false(reader_bytes(&reader, "b", SIZE_MAX, &bytes, &error));
    assert_error(error, FORMATS_ERROR_TRUNCATED, "at offset 1");
    assert_true(reader_bytes(&reader, "c", 2, &bytes, NULL));
    assert_ptr_equal(bytes, &data[1]);
}

static void read_varint(const char *bytes, size_t len_bytes, uint64_t expected)
{
    Reader reader = reader_make(bytes, len_bytes, 0);
    uint64_t value;

    assert_true(reader_varint(&reader, "v", &value, NULL));
    assert_true(value == expected);
    assert_int_equal(reader_left_bytes(&reader), 0);
}

static void varints_of_every_length_are_read(void **state)
{
    read_varint("\x00", 1, 0);
    read_varint("\x7f", 1, 127);
    read_varint("\x80\x01", 2, 128);
    read_varint("\xe5\x8e\x26", 3, 624485);
    read_varint("\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 9, INT64_MAX);
    read_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, UINT64_MAX);
}

static void refuse_varint(const char *bytes, size_t len_bytes,
                          FormatsError code, const char *text)
{
    Reader reader = reader_make(bytes, len_bytes, 0);
    GError *error = NULL;
    uint64_t value;

    assert_false(reader_varint(&reader, "v", &value, &error));
    assert_error(error, code, text);
    assert_int_equal(reader_left_bytes(&reader), len_bytes);
}

static void varints_too_long_padded_or_cut_off_are_refused(void **state)
{
    refuse_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10,
                  FORMATS_ERROR_MALFORMED, "beyond 64 bits");
    refuse_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11,
                  FORMATS_ERROR_MALFORMED, "beyond 64 bits");
    refuse_varint("\x80\x00", 2, FORMATS_ERROR_MALFORMED, "padded");
    refuse_varint("\x80\x80", 2, FORMATS_ERROR_TRUNCATED, "cut off inside v");
    refuse_varint("", 0, FORMATS_ERROR_TRUNCATED, "cut off inside v");
}

static void refuse_name(const char *bytes, size_t len_bytes, FormatsError code)
{
    Reader reader = reader_make(bytes, len_bytes, 0);
    GError *error = NULL;
    char *name;

    assert_false(reader_counted_name(&reader, "n", &name, &error));
    assert_error(error, code, "n");
    assert_int_equal(reader_left_bytes(&reader), len_bytes);
}

static void a_counted_name_is_copied(void **state)
{
    Reader reader = reader_make("\x06pc.ram!", 8, 0);
    g_autofree char *name = NULL;

    assert_true(reader_counted_name(&reader, "n", &name, NULL));
    assert_string_equal(name, "pc.ram");
    assert_int_equal(reader_left_bytes(&reader), 1);
}

static void names_that_cannot_be_printed_are_refused(void **state)
{
    refuse_name("\x00", 1, FORMATS_ERROR_MALFORMED);
    refuse_name("\x03"
                "a\0b",
                4, FORMATS_ERROR_MALFORMED);
    refuse_name("\x02"
                "a\n",
                3, FORMATS_ERROR_MALFORMED);
    refuse_name("\x02"
                "a\xff",
                3, FORMATS_ERROR_MALFORMED);
    refuse_name("\x03"
                "ab",
                3, FORMATS_ERROR_TRUNCATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(big_endian_numbers_are_read_in_sequence),
        cmocka_unit_test(a_field_cut_off_is_named_with_its_offset),
        cmocka_unit_test(
            bytes_beyond_the_end_are_refused_even_if_the_sum_wraps),
        cmocka_unit_test(varints_of_every_length_are_read),
        cmocka_unit_test(varints_too_long_padded_or_cut_off_are_refused),
        cmocka_unit_test(a_counted_name_is_copied),
        cmocka_unit_test(names_that_cannot_be_printed_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
