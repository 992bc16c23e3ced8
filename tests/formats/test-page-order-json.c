/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/formats/support.h"

#include <string.h>

#define HEAD                                                                   \
    "\"format\": \"preheat-page-order\", \"version\": 1, "                     \
    "\"origin\": \"load\", \"runs\": 1, "
#define BLOCKS                                                                 \
    "\"blocks\": [{\"name\": \"ram\", \"length\": 40960, "                     \
    "\"page-size\": 4096}], "
#define EXTENTS "\"extents\": []"

static void refuse(const char *text, FormatsError code, const char *message)
{
    GError *error = NULL;

    assert_null(page_order_from_json_text(text, strlen(text), &error));
    assert_error(error, code, message);
}

/* An extent of a document that is right but for it. */
static void refuse_extent(const char *extent, const char *message)
{
    g_autofree char *text = g_strdup_printf(
        "{" HEAD BLOCKS "\"extents\": [{\"block\": \"ram\", \"page\": 0, "
        "\"count\": 1, \"time-us\": 0}, %s]}",
        extent);

    refuse(text, FORMATS_ERROR_MALFORMED, message);
}

static void an_order_comes_back_as_it_was(void **state)
{
    g_autoptr(PageOrder) order = sample_order();
    g_autofree char *text = page_order_to_json_text(order);
    GError *error = NULL;
    g_autoptr(PageOrder) again =
        page_order_from_json_text(text, strlen(text), &error);

    assert_no_error(error);
    assert_true(page_order_equal(order, again));
}

static void text_has_one_extent_a_line(void **state)
{
    g_autoptr(PageOrder) order = sample_order();
    g_autofree char *text = page_order_to_json_text(order);

    assert_non_null(strstr(text, "{\n  \"format\": \"preheat-page-order\",\n"
                                 "  \"version\": 1,\n"));
    assert_non_null(
        strstr(text, "  \"extents\": [\n"
                     "    {\"block\": \"pc.ram\", \"page\": 16, \"count\": 4, "
                     "\"time-us\": 120},\n"
                     "    {\"block\": \"pc.ram\", \"page\": 20, \"count\": 1, "
                     "\"time-us\": 150, \"access\": \"read\"},\n"));
    assert_true(g_str_has_suffix(text, "}\n  ]\n}\n"));
}

static void an_empty_order_is_valid_text(void **state)
{
    g_autoptr(PageOrder) order = page_order_new();
    g_autofree char *text = page_order_to_json_text(order);
    g_autoptr(PageOrder) again =
        page_order_from_json_text(text, strlen(text), NULL);

    assert_non_null(again);
    assert_true(page_order_equal(order, again));
}

static void what_has_a_default_may_be_left_out(void **state)
{
    const char *text =
        "{" HEAD BLOCKS "\"extents\": [{\"block\": \"ram\", \"page\": 3, "
        "\"count\": 2, \"time-us\": 9}]}";
    g_autoptr(PageOrder) order =
        page_order_from_json_text(text, strlen(text), NULL);

    assert_non_null(order);
    assert_null(order->identity);
    assert_int_equal(page_order_extent(order, 0)->access, PAGE_ACCESS_UNKNOWN);
    assert_int_equal(page_order_extent(order, 0)->idle_loads, 0);
}

static void a_syntax_error_has_line_and_column(void **state)
{
    refuse("{\n  \"format\": \"x\",\n  \"version\": ]\n}",
           FORMATS_ERROR_MALFORMED, "line 3, column 14: unexpected token");
    refuse("", FORMATS_ERROR_MALFORMED, "line 1, column 0");
    refuse("{}{", FORMATS_ERROR_MALFORMED, "end of file expected");
    refuse("{\"runs\": 1, \"runs\": 2}", FORMATS_ERROR_MALFORMED,
           "duplicate object key");
    refuse("{\"runs\": 9223372036854775808}", FORMATS_ERROR_MALFORMED,
           "too big integer");
}

static void another_document_is_not_this(void **state)
{
    refuse("[]", FORMATS_ERROR_MALFORMED, "must be an object, is a list");
    refuse("{}", FORMATS_ERROR_MALFORMED, "format: missing");
    refuse("{\"format\": \"other\"}", FORMATS_ERROR_NOT_THIS,
           "format: \"other\" instead of \"preheat-page-order\"");
}

static void a_newer_version_is_refused_before_its_keys(void **state)
{
    refuse("{\"format\": \"preheat-page-order\", \"version\": 2, \"new\": 1}",
           FORMATS_ERROR_VERSION, "version: 2");
}

static void an_unknown_key_is_named(void **state)
{
    refuse("{" HEAD BLOCKS EXTENTS ", \"colour\": 1}", FORMATS_ERROR_MALFORMED,
           "colour: unknown key; there are format, ");
    refuse("{" HEAD "\"blocks\": [{\"len\": 4096}], " EXTENTS "}",
           FORMATS_ERROR_MALFORMED, "blocks[0].len: unknown key");
    refuse_extent("{\"time\": 1}", "extents[1].time: unknown key");
}

static void a_bad_head_is_named(void **state)
{
    refuse("{\"format\": \"preheat-page-order\", \"version\": \"1\"}",
           FORMATS_ERROR_MALFORMED,
           "version: must be a whole number, is a string");
    refuse("{\"format\": \"preheat-page-order\", \"version\": 1, "
           "\"origin\": \"dream\", \"runs\": 1}",
           FORMATS_ERROR_MALFORMED, "origin: \"dream\" is not save, load");
    refuse("{\"format\": \"preheat-page-order\", \"version\": 1, "
           "\"origin\": \"load\", \"runs\": 4294967296}",
           FORMATS_ERROR_MALFORMED, "runs: 4294967296 is not from 0");
    refuse("{" HEAD "\"identity\": \"abc\", " BLOCKS EXTENTS "}",
           FORMATS_ERROR_MALFORMED, "identity: not 64 lower-case");
    refuse("{" HEAD "\"identity\": false, " BLOCKS EXTENTS "}",
           FORMATS_ERROR_MALFORMED, "identity: must be a string, is false");
    refuse("{" HEAD BLOCKS "\"extents\": {}}", FORMATS_ERROR_MALFORMED,
           "extents: must be a list, is an object");
    refuse("{" HEAD EXTENTS "}", FORMATS_ERROR_MALFORMED, "blocks: missing");
}

static void a_bad_block_is_named(void **state)
{
    refuse("{" HEAD "\"blocks\": [7], " EXTENTS "}", FORMATS_ERROR_MALFORMED,
           "blocks[0]: must be an object, is a whole number");
    refuse("{" HEAD "\"blocks\": [{\"name\": \"a\", \"length\": 4097, "
           "\"page-size\": 4096}], " EXTENTS "}",
           FORMATS_ERROR_MALFORMED, "blocks[0].length: 4097");
    refuse("{" HEAD "\"blocks\": [{\"name\": \"a\", \"length\": -1, "
           "\"page-size\": 4096}], " EXTENTS "}",
           FORMATS_ERROR_MALFORMED, "blocks[0].length: -1 is not from 0");
    refuse("{" HEAD "\"blocks\": [{\"name\": \"a\\n\", \"length\": 4096, "
           "\"page-size\": 4096}], " EXTENTS "}",
           FORMATS_ERROR_MALFORMED, "blocks[0].name");
}

static void a_bad_extent_is_named(void **state)
{
    refuse_extent("null", "extents[1]: must be an object, is null");
    refuse_extent("{\"page\": 0, \"count\": 1, \"time-us\": 0}",
                  "extents[1].block: missing");
    refuse_extent("{\"block\": \"rom\", \"page\": 0, \"count\": 1, "
                  "\"time-us\": 0}",
                  "extents[1].block: \"rom\" is not in blocks");
    refuse_extent("{\"block\": \"ram\", \"page\": 1.5, \"count\": 1, "
                  "\"time-us\": 0}",
                  "extents[1].page: must be a whole number, is a decimal");
    refuse_extent("{\"block\": \"ram\", \"page\": 9, \"count\": 2, "
                  "\"time-us\": 0}",
                  "extents[1].count: 2, but block \"ram\" has 1 pages");
    refuse_extent("{\"block\": \"ram\", \"page\": 0, \"count\": 1, "
                  "\"time-us\": 0, \"access\": \"execute\"}",
                  "extents[1].access: \"execute\" is not read");
    refuse_extent("{\"block\": \"ram\", \"page\": 0, \"count\": 1, "
                  "\"time-us\": 0, \"idle-loads\": true}",
                  "extents[1].idle-loads: must be a whole number, is true");
}

static void a_nul_in_a_string_is_refused(void **state)
{
    refuse("{\"format\": \"preheat-page-order\", \"version\": 1, "
           "\"origin\": \"load\\u0000x\", \"runs\": 1, \"blocks\": [], " EXTENTS
           "}",
           FORMATS_ERROR_MALFORMED, "\\u0000 is not allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_comes_back_as_it_was),
        cmocka_unit_test(text_has_one_extent_a_line),
        cmocka_unit_test(an_empty_order_is_valid_text),
        cmocka_unit_test(what_has_a_default_may_be_left_out),
        cmocka_unit_test(a_syntax_error_has_line_and_column),
        cmocka_unit_test(another_document_is_not_this),
        cmocka_unit_test(a_newer_version_is_refused_before_its_keys),
        cmocka_unit_test(an_unknown_key_is_named),
        cmocka_unit_test(a_bad_head_is_named),
        cmocka_unit_test(a_bad_block_is_named),
        cmocka_unit_test(a_bad_extent_is_named),
        cmocka_unit_test(a_nul_in_a_string_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
