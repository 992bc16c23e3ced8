/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/cli/support.h"

#include <string.h>

#include "cli/json-place.h"

static const char *const TEXT =
    "{\"format\": \"x\",\n"                                   /* 1 */
    "  \"odd, \\\"key\\\\\": [{\"extents\": [1]}, \"]}\"],\n" /* 2 */
    "  \"extents\": [\n"                                      /* 3 */
    "    {\"block\": \"a\", \"page\": 1},\n"                  /* 4 */
    "    {\"block\": \"ä:[}\", \"page\": 2}\n"                /* 5 */
    "  ],\n"                                                  /* 6 */
    "  \"empty\": []}\n";                                     /* 7 */

static void assert_place(const char *path, unsigned line, unsigned column)
{
    JsonPlace place = {0, 0};

    assert_true(json_place_find(TEXT, path, &place));
    assert_int_equal(place.line, line);
    assert_int_equal(place.column, column);
}

static void keys_and_items_are_found(void **state)
{
    assert_place("format", 1, 2);
    assert_place("extents", 3, 3);
    assert_place("extents[0]", 4, 5);
    assert_place("extents[0].page", 4, 20);
    assert_place("extents[1]", 5, 5);
}

static void columns_count_characters(void **state)
{
    assert_place("extents[1].page", 5, 23);
}

static void a_missing_key_is_at_its_item(void **state)
{
    assert_place("extents[1].count", 5, 5);
}

static void what_is_not_there_has_no_place(void **state)
{
    const char *const paths[] = {"",         "runs",      "extents[2]",
                                 "empty[1]", "format[0]", "line 3, column 4"};

    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        JsonPlace place;

        assert_false(json_place_find(TEXT, paths[i], &place));
    }
}

/* Each copy has just its own length, for AddressSanitizer to watch. */
static void a_torn_text_is_not_read_beyond_its_end(void **state)
{
    const char *const paths[] = {"format", "extents[1].page", "empty[3].x"};

    for (size_t len = 0; len < strlen(TEXT); len++) {
        g_autofree char *torn = g_strndup(TEXT, len);

        for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
            JsonPlace place;

            json_place_find(torn, paths[i], &place);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_items_are_found),
        cmocka_unit_test(columns_count_characters),
        cmocka_unit_test(a_missing_key_is_at_its_item),
        cmocka_unit_test(what_is_not_there_has_no_place),
        cmocka_unit_test(a_torn_text_is_not_read_beyond_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
