/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

#include <string.h>

#define HEADER_BYTES 20
#define DIGEST_BYTES 32

static GByteArray *encoded(const PageOrder *order)
{
    return g_bytes_unref_to_array(page_order_encode(order));
}

static GByteArray *encoded_sample(void)
{
    g_autoptr(PageOrder) order = sample_order();

    return encoded(order);
}

/* Make length and checksum right again, so that only the body is wrong. */
static void seal(GByteArray *file)
{
    g_autoptr(GChecksum) hash = g_checksum_new(G_CHECKSUM_SHA256);
    const uint64_t len_bytes = GUINT64_TO_BE((uint64_t)file->len);
    gsize digest_bytes = DIGEST_BYTES;

    memcpy(&file->data[12], &len_bytes, sizeof(len_bytes));
    g_checksum_update(hash, file->data, file->len - DIGEST_BYTES);
    g_checksum_get_digest(hash, &file->data[file->len - DIGEST_BYTES],
                          &digest_bytes);
}

/* A file whose body is given in hexadecimal digits. */
static GByteArray *file_of_body(const char *body)
{
    GByteArray *file = encoded_sample();

    g_byte_array_set_size(file, HEADER_BYTES);
    for (const char *p = body; *p; p++) {
        if (*p != ' ') {
            const guint8 byte = (guint8)(g_ascii_xdigit_value(p[0]) << 4 |
                                         g_ascii_xdigit_value(p[1]));
            g_byte_array_append(file, &byte, 1);
            p++;
        }
    }
    g_byte_array_set_size(file, file->len + DIGEST_BYTES);
    seal(file);
    return file;
}

static void refuse(const GByteArray *file, FormatsError code, const char *text)
{
    GError *error = NULL;

    assert_null(page_order_decode(file->data, file->len, &error));
    assert_error(error, code, text);
}

static void assert_same_after_decoding(const PageOrder *order)
{
    g_autoptr(GByteArray) file = encoded(order);
    GError *error = NULL;
    g_autoptr(PageOrder) decoded =
        page_order_decode(file->data, file->len, &error);

    assert_no_error(error);
    assert_true(page_order_equal(order, decoded));
}

static void an_order_comes_back_as_it_was(void **state)
{
    g_autoptr(PageOrder) order = sample_order();

    assert_same_after_decoding(order);
    g_clear_pointer(&order->identity, g_free);
    order->origin = PAGE_ORDER_ORIGIN_SAVE;
    order->n_runs = UINT32_MAX;
    assert_same_after_decoding(order);
}

static void an_empty_order_comes_back_as_it_was(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();

    assert_same_after_decoding(order);
}

static void any_order_of_random_extents_comes_back_as_it_was(void **state)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    g_autoptr(PageOrder) order = page_order_new();

    page_order_add_block(order, "small", 1 << 20, 512);
    page_order_add_block(order, "large", INT64_MAX & ~4095, 4096);
    for (int i = 0; i < 20000; i++) {
        const uint32_t block = g_rand_boolean(random);
        const uint64_t n_pages = block ? UINT64_C(1) << 51 : 2048;
        PageExtent extent = {
            .span = {block, 0, (uint64_t)g_rand_int_range(random, 1, 5)},
            .idle_loads = (uint32_t)g_rand_int_range(random, 0, 2),
            .access = (PageAccess)g_rand_int_range(random, 0, 3),
        };
        extent.span.first_page =
            ((uint64_t)g_rand_int(random) << 32 | g_rand_int(random)) %
            (n_pages - 5);
        extent.time_us =
            ((uint64_t)g_rand_int(random) << 31 | g_rand_int(random) >> 1) >>
            g_rand_int_range(random, 0, 63);
        g_array_append_val(order->extents, extent);
    }
    assert_true(page_order_check(order, NULL));
    assert_same_after_decoding(order);
}

static void pages_in_sequence_take_three_bytes_an_extent(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();

    page_order_add_block(order, "pc.ram", 1 << 30, 4096);
    for (uint64_t i = 0; i < 1000; i++) {
        const PageExtent extent = {.span = {0, i, 1}, .time_us = i * 50};
        g_array_append_val(order->extents, extent);
    }
    g_autoptr(GByteArray) file = encoded(order);
    assert_in_range(file->len, 3 * 1000, 3 * 1000 + 200);
}

static void the_specifications_example_is_what_it_says(void **state)
{
    g_autofree char *path =
        g_build_filename(g_getenv("TEST_DATA"), "valid/example.order", NULL);
    g_autofree char *json_path =
        g_build_filename(g_getenv("TEST_DATA"), "valid/example.json", NULL);
    g_autofree char *text = NULL;
    gsize len_bytes;
    GError *error = NULL;

    g_autoptr(PageOrder) order = page_order_load(path, &error);
    assert_no_error(error);
    assert_true(g_file_get_contents(json_path, &text, &len_bytes, NULL));
    g_autoptr(PageOrder) from_json =
        page_order_from_json_text(text, len_bytes, &error);
    assert_no_error(error);
    assert_true(page_order_equal(order, from_json));

    g_autofree char *again = page_order_to_json_text(order);
    assert_string_equal(again, text);
}

static void a_file_cut_at_any_length_is_torn(void **state)
{
    g_autoptr(GByteArray) file = encoded_sample();

    for (guint len_bytes = file->len - 1; len_bytes > 0; len_bytes--) {
        g_byte_array_set_size(file, len_bytes);
        refuse(file, FORMATS_ERROR_TRUNCATED, "");
    }
    GError *error = NULL;
    assert_null(page_order_decode(NULL, 0, &error));
    assert_error(error, FORMATS_ERROR_TRUNCATED, "cut off");
}

static void a_file_with_any_byte_changed_is_refused(void **state)
{
    g_autoptr(GByteArray) file = encoded_sample();

    for (guint i = 0; i < file->len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            GError *error = NULL;
            file->data[i] ^= (guint8)(1 << bit);
            assert_null(page_order_decode(file->data, file->len, &error));
            assert_error(error, (FormatsError)error->code, "offset");
            file->data[i] ^= (guint8)(1 << bit);
        }
    }
}

/* Whatever is accepted has no second encoding. */
static void
a_body_with_any_byte_changed_is_refused_or_another_order(void **state)
{
    g_autoptr(GByteArray) file = encoded_sample();

    for (guint i = HEADER_BYTES; i < file->len - DIGEST_BYTES; i++) {
        const guint8 byte = file->data[i];
        for (int value = 0; value < 256; value++) {
            file->data[i] = (guint8)value;
            seal(file);
            g_autoptr(PageOrder) order =
                page_order_decode(file->data, file->len, NULL);
            if (order) {
                g_autoptr(GByteArray) again = encoded(order);
                assert_int_equal(again->len, file->len);
                assert_memory_equal(again->data, file->data, file->len);
            }
        }
        file->data[i] = byte;
    }
}

static void another_kind_of_file_is_not_this(void **state)
{
    GError *error = NULL;

    assert_null(page_order_decode("{\n", 2, &error));
    assert_error(error, FORMATS_ERROR_NOT_THIS, "if it is JSON, import it");
}

static void a_newer_version_is_refused_before_its_checksum(void **state)
{
    g_autoptr(GByteArray) file = encoded_sample();

    file->data[11] = 2;
    refuse(file, FORMATS_ERROR_VERSION, "format version 2");
}

static void bytes_after_the_end_are_refused(void **state)
{
    g_autoptr(GByteArray) file = encoded_sample();

    g_byte_array_append(file, (const guint8 *)"", 1);
    refuse(file, FORMATS_ERROR_MALFORMED, "bytes long");
}

static void a_changed_byte_is_a_checksum_error(void **state)
{
    g_autoptr(GByteArray) file = encoded_sample();

    file->data[HEADER_BYTES + 1] ^= 1;
    refuse(file, FORMATS_ERROR_CHECKSUM, "checksum");
}

/* No identity, origin unknown, 1 run; block "r" of 64 pages of 4096. */
#define ONE_BLOCK "00 00 01  01 01 72 0c 40  "

static void sealed_bodies_that_make_no_order_are_refused(void **state)
{
    static const struct {
        const char *body;
        FormatsError code;
        const char *text;
    } cases[] = {
        {"02", FORMATS_ERROR_MALFORMED, "identity is 2"},
        {"00 04", FORMATS_ERROR_MALFORMED, "origin is 4"},
        {"00 00 00", FORMATS_ERROR_MALFORMED, "number of runs is 0"},
        {"00 00 80 80 80 80 10", FORMATS_ERROR_MALFORMED,
         "number of runs is 4294967296"},
        {"00 00 01  81 20", FORMATS_ERROR_TOO_LARGE,
         "number of blocks is 4097"},
        {"00 00 01  80 20", FORMATS_ERROR_MALFORMED,
         "number of blocks is 4096, too many for the 0 bytes left"},
        {"00 00 01  01 01 72 08 01  00", FORMATS_ERROR_MALFORMED,
         "page size is 8"},
        {"00 00 01  01 01 72 3f 01  00", FORMATS_ERROR_MALFORMED,
         "page size is 63"},
        {"00 00 01  01 01 72 0c 00  00", FORMATS_ERROR_MALFORMED,
         "number of pages is 0"},
        {"00 00 01  01 01 72 3e 02  00", FORMATS_ERROR_MALFORMED,
         "number of pages is 2"},
        {"00 00 01  02 01 72 0c 01 01 72 0c 01  00", FORMATS_ERROR_MALFORMED,
         "\"r\" occurs twice"},
        {"00 00 01  00  01 00 00 00", FORMATS_ERROR_MALFORMED,
         "block is 0 of 0"},
        {ONE_BLOCK "ff ff ff ff ff ff ff ff 7f", FORMATS_ERROR_TOO_LARGE,
         "number of extents"},
        {ONE_BLOCK "ff ff 01", FORMATS_ERROR_MALFORMED,
         "number of extents is 32767, too many for the 0 bytes left"},
        {ONE_BLOCK "01 03 00 00", FORMATS_ERROR_MALFORMED, "begins with 0x03"},
        {ONE_BLOCK "01 20 00 00", FORMATS_ERROR_MALFORMED, "begins with 0x20"},
        {ONE_BLOCK "01 04 00 00 00", FORMATS_ERROR_MALFORMED,
         "block is 0 of 1"},
        {ONE_BLOCK "01 04 01 00 00", FORMATS_ERROR_MALFORMED,
         "block is 1 of 1"},
        {ONE_BLOCK "01 08 00 01 00", FORMATS_ERROR_MALFORMED,
         "number of pages is 1"},
        {ONE_BLOCK "01 10 00 00 00", FORMATS_ERROR_MALFORMED,
         "idle loads is 0"},
        {ONE_BLOCK "01 00 80 01 00", FORMATS_ERROR_MALFORMED,
         "extents[0].page: 64"},
        {ONE_BLOCK "01 00 01 00", FORMATS_ERROR_MALFORMED,
         "extents[0].page: 18446744073709551615"},
        {ONE_BLOCK "01 08 00 41 00", FORMATS_ERROR_MALFORMED,
         "extents[0].count: 65"},
        {ONE_BLOCK "01 00 00 01", FORMATS_ERROR_MALFORMED,
         "extents[0].time-us"},
        {ONE_BLOCK "01 00 00 00 00", FORMATS_ERROR_MALFORMED,
         "1 bytes too many"},
        {ONE_BLOCK "01 00 80 80", FORMATS_ERROR_TRUNCATED,
         "cut off inside an extent's page"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) file = file_of_body(cases[i].body);
        refuse(file, cases[i].code, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_comes_back_as_it_was),
        cmocka_unit_test(an_empty_order_comes_back_as_it_was),
        cmocka_unit_test(any_order_of_random_extents_comes_back_as_it_was),
        cmocka_unit_test(pages_in_sequence_take_three_bytes_an_extent),
        cmocka_unit_test(the_specifications_example_is_what_it_says),
        cmocka_unit_test(a_file_cut_at_any_length_is_torn),
        cmocka_unit_test(a_file_with_any_byte_changed_is_refused),
        cmocka_unit_test(
            a_body_with_any_byte_changed_is_refused_or_another_order),
        cmocka_unit_test(another_kind_of_file_is_not_this),
        cmocka_unit_test(a_newer_version_is_refused_before_its_checksum),
        cmocka_unit_test(bytes_after_the_end_are_refused),
        cmocka_unit_test(a_changed_byte_is_a_checksum_error),
        cmocka_unit_test(sealed_bodies_that_make_no_order_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
