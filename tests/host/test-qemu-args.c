/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include "host/qemu-args.h"

static char *const user_argv[] = {
    (char *)"qemu-system-x86_64", (char *)"-m", (char *)"1G",
    (char *)"--daemonize",        (char *)"-S", NULL};

static void options_are_found_with_one_dash_and_with_two(void **state)
{
    assert_true(qemu_args_have(user_argv, "-S"));
    assert_true(qemu_args_have(user_argv, "-daemonize"));
    assert_false(qemu_args_have(user_argv, "-incoming"));
}

static void the_programs_own_name_is_no_option(void **state)
{
    char *const argv[] = {(char *)"-S", NULL};

    assert_false(qemu_args_have(argv, "-S"));
}

static void options_that_say_what_to_load_are_refused(void **state)
{
    char *const argv[] = {(char *)"qemu", (char *)"-incoming", (char *)"defer",
                          NULL};
    GError *error = NULL;

    assert_false(qemu_args_check_loadable(argv, &error));
    assert_util_error(error, UTIL_ERROR_USAGE, "omit -incoming");
    error = NULL;
    assert_true(qemu_args_check_loadable(user_argv, &error));
    assert_no_error(error);
}

static void a_loads_arguments_follow_the_users(void **state)
{
    g_auto(GStrv) argv = qemu_args_for_load(user_argv, "/lib/preheat.so", 5, 6);
    g_autofree char *line = g_strjoinv(" ", argv);

    assert_string_equal(line, "qemu-system-x86_64 -m 1G --daemonize -S "
                              "-plugin /lib/preheat.so,control-fd=5 "
                              "-chardev socket,id=preheat-qmp,fd=6 "
                              "-qmp chardev:preheat-qmp -incoming defer -S");
}

static void commas_in_the_plugins_path_are_doubled(void **state)
{
    g_auto(GStrv) argv = qemu_args_for_run(user_argv, "/a,b/preheat.so");
    g_autofree char *line = g_strjoinv(" ", argv);

    assert_string_equal(line, "qemu-system-x86_64 -m 1G --daemonize -S "
                              "-plugin /a,,b/preheat.so");
}

static void what_we_added_is_told_from_what_the_user_gave(void **state)
{
    g_autofree char *user = g_strjoinv(" ", (char **)user_argv);
    g_auto(GStrv) loaded =
        qemu_args_for_load(user_argv, "/lib/libpreheat-plugin.so", 5, 6);
    g_auto(GStrv) ran =
        qemu_args_for_run(user_argv, "/lib/libpreheat-plugin.so");
    g_auto(GStrv) with_mapped_ram = qemu_args_with_mapped_ram(user_argv);
    g_auto(GStrv) mapped =
        qemu_args_for_run(with_mapped_ram, "/lib/libpreheat-plugin.so");
    g_auto(GStrv) from_mapped = qemu_args_without_ours(mapped);
    g_auto(GStrv) users_own = qemu_args_without_ours(with_mapped_ram);
    g_auto(GStrv) from_load = qemu_args_without_ours(loaded);
    g_auto(GStrv) from_run = qemu_args_without_ours(ran);
    g_autofree char *first = g_strjoinv(" ", from_load);
    g_autofree char *second = g_strjoinv(" ", from_run);

    g_autofree char *third = g_strjoinv(" ", from_mapped);

    assert_string_equal(first, user);
    assert_string_equal(second, user);
    assert_string_equal(third, user);
    assert_int_equal(g_strv_length(users_own), g_strv_length(with_mapped_ram));
}

static void mapped_ram_is_set_as_a_property(void **state)
{
    g_auto(GStrv) argv = qemu_args_with_mapped_ram(user_argv);
    g_autofree char *line = g_strjoinv(" ", argv);

    assert_string_equal(line, "qemu-system-x86_64 -m 1G --daemonize -S "
                              "-global migration.mapped-ram=on");
}

static void the_environment_names_the_plugin_first(void **state)
{
    g_autofree char *path = NULL;
    GError *error = NULL;

    g_setenv("PREHEAT_PLUGIN", "/elsewhere/preheat.so", TRUE);
    path = qemu_args_find_plugin(&error);
    g_unsetenv("PREHEAT_PLUGIN");
    assert_no_error(error);
    assert_string_equal(path, "/elsewhere/preheat.so");
}

static void the_plugins_interface_version_is_handed_over_if_given(void **state)
{
    g_unsetenv("PREHEAT_PLUGIN_API");
    qemu_args_set_plugin_api(0);
    assert_null(g_getenv("PREHEAT_PLUGIN_API"));
    qemu_args_set_plugin_api(7);
    assert_string_equal(g_getenv("PREHEAT_PLUGIN_API"), "7");
    g_unsetenv("PREHEAT_PLUGIN_API");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_found_with_one_dash_and_with_two),
        cmocka_unit_test(the_programs_own_name_is_no_option),
        cmocka_unit_test(options_that_say_what_to_load_are_refused),
        cmocka_unit_test(a_loads_arguments_follow_the_users),
        cmocka_unit_test(commas_in_the_plugins_path_are_doubled),
        cmocka_unit_test(what_we_added_is_told_from_what_the_user_gave),
        cmocka_unit_test(mapped_ram_is_set_as_a_property),
        cmocka_unit_test(the_environment_names_the_plugin_first),
        cmocka_unit_test(the_plugins_interface_version_is_handed_over_if_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
