/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "host/start-failure.h"
#include "tests/util/support.h"

#define GREETING                                                               \
    "echo '{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 0, "   \
    "\"major\": 10}}, \"capabilities\": []}}'\n"

/* A QEMU that does what the shell commands say when it gets the plugin. */
static char *put_qemu(const char *directory, const char *name,
                      const char *with_plugin)
{
    char *path = g_build_filename(directory, name, NULL);
    g_autofree char *script = g_strdup_printf(
        "#!/bin/sh\n" GREETING "case \"$*\" in *-plugin*) %s;; esac\n"
        "cat >/dev/null\n",
        with_plugin);

    assert_true(g_file_set_contents(path, script, -1, NULL));
    assert_int_equal(g_chmod(path, 0755), 0);
    return path;
}

static char *explain(const char *program, bool plugin_answered)
{
    char *argv[] = {(char *)program, (char *)"-m", (char *)"1G", NULL};

    return start_failure_explain(argv, "/p.so", plugin_answered);
}

static void a_plugin_that_is_refused_is_laid_on_the_plugin(void **state)
{
    char *directory = make_directory();
    g_autofree char *qemu =
        put_qemu(directory, "qemu-system-none", "echo no >&2; exit 1");
    g_autofree char *why = explain(qemu, false);

    assert_non_null(why);
    assert_non_null(strstr(why, "does not load the plugin"));
    assert_non_null(strstr(why, "--plugin-api"));
    remove_directory(directory);
}

static void a_plugin_that_is_taken_is_not_to_blame(void **state)
{
    char *directory = make_directory();
    g_autofree char *qemu = put_qemu(directory, "qemu-system-none", ":");
    g_autofree char *refusing =
        put_qemu(directory, "qemu-system-other", "exit 1");
    g_autofree char *taken = explain(qemu, false);
    g_autofree char *answered = explain(refusing, true);

    assert_null(taken);
    assert_null(answered);
    remove_directory(directory);
}

static void a_wrapper_is_not_started_again(void **state)
{
    char *directory = make_directory();
    g_autofree char *qemu = put_qemu(directory, "wrapper", "touch \"$0.ran\"");
    g_autofree char *why = explain(qemu, false);

    assert_non_null(strstr(why, "If it refused the plugin"));
    g_autofree char *names = list_directory(directory);
    assert_string_equal(names, "wrapper");
    remove_directory(directory);
}

static void a_port_that_is_taken_comes_first(void **state)
{
    unsigned port;
    int fd = hold_tcp_port(&port);
    g_autofree char *rule =
        g_strdup_printf("user,hostfwd=tcp:127.0.0.1:%u-:22", port);
    char *argv[] = {(char *)"wrapper", (char *)"-nic", rule, NULL};
    g_autofree char *why = start_failure_explain(argv, "/p.so", false);
    assert_non_null(strstr(why, "is taken"));
    assert_null(strstr(why, "plugin"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_that_is_refused_is_laid_on_the_plugin),
        cmocka_unit_test(a_plugin_that_is_taken_is_not_to_blame),
        cmocka_unit_test(a_wrapper_is_not_started_again),
        cmocka_unit_test(a_port_that_is_taken_comes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
