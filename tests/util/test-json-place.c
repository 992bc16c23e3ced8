/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/json-place.h"

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

/* Its end is the end of the memory that can be read. */
static void a_torn_text_is_not_read_beyond_its_end(void **state)
{
    const char *const paths[] = {"format", "extents[1].page", "empty[3].x"};
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + page_bytes, page_bytes, PROT_NONE), 0);
    for (size_t len = 0; len < strlen(TEXT); len++) {
        char *torn = pages + page_bytes - len - 1;

        memcpy(torn, TEXT, len);
        torn[len] = '\0';
        for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
            JsonPlace place;

            json_place_find(torn, paths[i], &place);
        }
    }
    munmap(pages, 2 * page_bytes);
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
