/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include "util/own-file.h"

#define NOWHERE "/missing/directory/file"

static void a_file_beside_the_program_is_found_first(void **state)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *name = g_path_get_basename(self);

    assert_owned_text(own_file_find(name, "/dev/null"), self);
}

static void the_way_from_the_program_may_lead_upwards(void **state)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *directory = g_path_get_dirname(self);
    g_autofree char *above = g_path_get_dirname(directory);
    g_autofree char *folder = g_path_get_basename(directory);
    g_autofree char *beside = g_build_filename("..", folder, NULL);
    g_autofree char *expected = g_build_filename(above, folder, NULL);

    assert_owned_text(own_file_find(beside, NOWHERE), expected);
}

static void without_a_file_beside_it_the_installed_one_is_taken(void **state)
{
    assert_owned_text(own_file_find("missing", "/dev/null"), "/dev/null");
}

static void a_file_at_neither_place_is_not_found(void **state)
{
    assert_null(own_file_find("missing", NOWHERE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_beside_the_program_is_found_first),
        cmocka_unit_test(the_way_from_the_program_may_lead_upwards),
        cmocka_unit_test(without_a_file_beside_it_the_installed_one_is_taken),
        cmocka_unit_test(a_file_at_neither_place_is_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
