/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The arguments of control commands, right and wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/arguments.h"
#include "plugin/pager/pager.h"

/* What the arguments below are parsed into; these are the values before. */
typedef struct Values {
    const char *text;
    uint64_t count;
    uint64_t ms;
    json_t *any;
} Values;

static const Values untouched = {"untouched", 77, 77, NULL};

static json_t *parse_json(const char *text)
{
    json_error_t syntax;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &syntax);

    if (!json) {
        fail_msg("%s: %s", text, syntax.text);
    }
    return json;
}

static bool parse(const json_t *json, Values *ret_values, GError **error)
{
    const Argument known[] = {
        {"text", ARGUMENT_STRING, true, &ret_values->text},
        {"count", ARGUMENT_COUNT, false, &ret_values->count},
        {"ms", ARGUMENT_MS, false, &ret_values->ms},
        {"any", ARGUMENT_ANY, false, &ret_values->any},
        {NULL},
    };

    *ret_values = untouched;
    return arguments_parse(json, known, error);
}

static void assert_message(const GError *error, const char *text)
{
    assert_non_null(error);
    assert_true(g_error_matches(error, PAGER_ERROR, PAGER_ERROR_STATE));
    if (!strstr(error->message, text)) {
        fail_msg("\"%s\" does not say \"%s\"", error->message, text);
    }
}

static void assert_refused(const char *text, const char *message)
{
    g_autoptr(GError) error = NULL;
    json_t *json = parse_json(text);
    Values values;

    assert_false(parse(json, &values, &error));
    assert_message(error, message);
    json_decref(json);
}

/* ---- single arguments ---- */

static void arguments_of_each_type_are_taken(void **state)
{
    json_t *json = parse_json("{\"text\": \"caf\\u00e9\", \"count\": "
                              "9223372036854775807, \"any\": [1]}");
    g_autoptr(GError) error = NULL;
    Values values;

    assert_true(parse(json, &values, &error));
    assert_null(error);
    assert_string_equal(values.text, "caf\u00e9");
    assert_int_equal(values.count, INT64_MAX);
    assert_ptr_equal(values.any, json_object_get(json, "any"));
    json_decref(json);
}

static void an_optional_argument_that_is_missing_keeps_its_value(void **state)
{
    json_t *json = parse_json("{\"text\": \"\"}");
    Values values;

    assert_true(parse(json, &values, NULL));
    assert_string_equal(values.text, "");
    assert_int_equal(values.count, untouched.count);
    assert_null(values.any);
    json_decref(json);
}

static void a_null_counts_as_any_value(void **state)
{
    json_t *json = parse_json("{\"text\": \"\", \"any\": null}");
    Values values;

    assert_true(parse(json, &values, NULL));
    assert_true(json_is_null(values.any));
    json_decref(json);
}

static void a_missing_argument_is_named(void **state)
{
    assert_refused("{}", "argument text: missing");
    assert_refused("{\"count\": 1}", "argument text: missing");
}

static void an_unknown_argument_is_named(void **state)
{
    assert_refused("{\"text\": \"\", \"cuont\": 1}",
                   "argument cuont: not known");
}

static void a_string_must_be_a_string(void **state)
{
    static const char *const wrong[] = {
        "{\"text\": 1}",      "{\"text\": null}", "{\"text\": true}",
        "{\"text\": [\"\"]}", "{\"text\": {}}",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        assert_refused(wrong[i], "argument text: not a string");
    }
}

static void a_count_must_be_a_whole_number_from_0_on(void **state)
{
    static const char *const wrong[] = {
        "{\"text\": \"\", \"count\": -1}",
        "{\"text\": \"\", \"count\": 1.0}",
        "{\"text\": \"\", \"count\": \"1\"}",
        "{\"text\": \"\", \"count\": null}",
        "{\"text\": \"\", \"count\": false}",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        assert_refused(wrong[i], "argument count: not a whole number");
    }
}

static void a_time_is_at_most_30_days(void **state)
{
    g_autoptr(GError) error = NULL;
    json_t *json = parse_json("{\"text\": \"\", \"ms\": 2592000000}");
    Values values;

    assert_true(parse(json, &values, &error));
    assert_int_equal(values.ms, 2592000000);
    json_decref(json);
    assert_refused("{\"text\": \"\", \"ms\": 2592000001}",
                   "argument ms: not a number of milliseconds");
    assert_refused("{\"text\": \"\", \"ms\": -1}",
                   "argument ms: not a number of milliseconds");
}

/* ---- RAM blocks ---- */

static void a_list_of_ram_blocks_is_taken_in_its_sequence(void **state)
{
    json_t *json = parse_json(
        "{\"blocks\": [{\"name\": \"pc.ram\", \"host\": \"0x7f00deadb000\", "
        "\"length\": 4096, \"page-size\": 4096}, {\"name\": \"vram\", "
        "\"host\": \"0xFFFFFFFFFFFFFFFF\", \"length\": 0}]}");
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) ranges = arguments_ranges(json, &error);

    assert_null(error);
    assert_int_equal(ranges->len, 2);
    const PagerRange *range = (PagerRange *)(void *)ranges->data;
    assert_string_equal(range[0].name, "pc.ram");
    assert_int_equal(range[0].host, 0x7f00deadb000);
    assert_int_equal(range[0].len_bytes, 4096);
    assert_string_equal(range[1].name, "vram");
    assert_int_equal(range[1].host, UINT64_MAX);
    assert_int_equal(range[1].len_bytes, 0);
    json_decref(json);
}

static void an_empty_list_of_ram_blocks_is_one(void **state)
{
    json_t *json = parse_json("{\"blocks\": []}");
    g_autoptr(GArray) ranges = arguments_ranges(json, NULL);

    assert_int_equal(ranges->len, 0);
    json_decref(json);
}

static void assert_ranges_refused(const char *text, const char *message)
{
    g_autoptr(GError) error = NULL;
    json_t *json = parse_json(text);

    assert_null(arguments_ranges(json, &error));
    assert_message(error, message);
    json_decref(json);
}

static void what_is_no_list_of_ram_blocks_is_refused(void **state)
{
    assert_ranges_refused("{}", "argument blocks: not a list");
    assert_ranges_refused("{\"blocks\": {}}", "argument blocks: not a list");
    assert_ranges_refused("{\"blocks\": null}", "argument blocks: not a list");
    assert_ranges_refused("{\"blocks\": [[]]}", "not an object");
    assert_ranges_refused("{\"blocks\": [null]}", "not an object");
}

static void
a_ram_block_with_a_field_too_few_or_too_many_is_refused(void **state)
{
    assert_ranges_refused("{\"blocks\": [{\"host\": \"0x1\", \"length\": 1}]}",
                          "argument name: missing");
    assert_ranges_refused("{\"blocks\": [{\"name\": \"a\", \"length\": 1}]}",
                          "argument host: missing");
    assert_ranges_refused(
        "{\"blocks\": [{\"name\": \"a\", \"host\": \"0x1\"}]}",
        "argument length: missing");
    assert_ranges_refused("{\"blocks\": [{\"name\": \"a\", \"host\": \"0x1\", "
                          "\"length\": 1, \"colour\": 1}]}",
                          "argument colour: not known");
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",     "0x",    "0x0",  "7f0000", "0x-1",
        "0x 1", "0x0x1", "0x1 ", "0x1g",   "0x10000000000000000",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *text = g_strdup_printf(
            "{\"blocks\": [{\"name\": \"a\", \"host\": \"%s\", \"length\": "
            "1}]}",
            wrong[i]);

        assert_ranges_refused(text, "argument host: not an address");
    }
    assert_ranges_refused(
        "{\"blocks\": [{\"name\": \"a\", \"host\": 4096, \"length\": 1}]}",
        "argument host: not a string");
}

/* ---- thread IDs ---- */

static void a_list_of_thread_ids_is_taken_in_its_sequence(void **state)
{
    json_t *json =
        parse_json("{\"blocks\": [], \"vcpu-threads\": [3, 1, 2147483647, 3]}");
    g_autoptr(GArray) ranges = NULL;
    g_autoptr(GArray) threads = NULL;
    static const uint32_t expected[] = {3, 1, INT32_MAX, 3};

    assert_true(arguments_guest(json, &ranges, &threads, NULL));
    assert_int_equal(ranges->len, 0);
    assert_int_equal(threads->len, 4);
    assert_memory_equal(threads->data, expected, sizeof expected);
    json_decref(json);
}

static void what_is_no_thread_id_is_refused(void **state)
{
    static const char *const wrong[] = {
        "{\"blocks\": []}",
        "{\"blocks\": [], \"vcpu-threads\": 1}",
        "{\"blocks\": [], \"vcpu-threads\": [0]}",
        "{\"blocks\": [], \"vcpu-threads\": [-1]}",
        "{\"blocks\": [], \"vcpu-threads\": [2147483648]}",
        "{\"blocks\": [], \"vcpu-threads\": [4294967297]}",
        "{\"blocks\": [], \"vcpu-threads\": [1.0]}",
        "{\"blocks\": [], \"vcpu-threads\": [1, \"2\"]}",
        "{\"blocks\": [], \"vcpu-threads\": [null]}",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        json_t *json = parse_json(wrong[i]);
        GArray *ranges = NULL;
        GArray *threads = NULL;

        assert_false(arguments_guest(json, &ranges, &threads, &error));
        assert_message(error, "argument vcpu-threads: ");
        assert_null(ranges);
        assert_null(threads);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_of_each_type_are_taken),
        cmocka_unit_test(an_optional_argument_that_is_missing_keeps_its_value),
        cmocka_unit_test(a_null_counts_as_any_value),
        cmocka_unit_test(a_missing_argument_is_named),
        cmocka_unit_test(an_unknown_argument_is_named),
        cmocka_unit_test(a_string_must_be_a_string),
        cmocka_unit_test(a_count_must_be_a_whole_number_from_0_on),
        cmocka_unit_test(a_time_is_at_most_30_days),
        cmocka_unit_test(a_list_of_ram_blocks_is_taken_in_its_sequence),
        cmocka_unit_test(an_empty_list_of_ram_blocks_is_one),
        cmocka_unit_test(what_is_no_list_of_ram_blocks_is_refused),
        cmocka_unit_test(
            a_ram_block_with_a_field_too_few_or_too_many_is_refused),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_list_of_thread_ids_is_taken_in_its_sequence),
        cmocka_unit_test(what_is_no_thread_id_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
