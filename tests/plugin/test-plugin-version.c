/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The shared object as QEMU sees it.  The environment says where the plugin
 * and the two fake hosts are: one with the plugin API of QEMU 10.2, which
 * takes versions 2 to 5, one with that of QEMU 11.1, which takes 7 only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/plugin/line-client.h"

#define OLD_HOST "FAKE_HOST_OLD"
#define NEW_HOST "FAKE_HOST_NEW"

/* What became of a host. */
typedef struct Result {
    int status; /* its exit status */
    char *out;
    char *err;
} Result;

static void result_clear(Result *result)
{
    g_free(result->out);
    g_free(result->err);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Result, result_clear)

static const char *path_in(const char *variable)
{
    const char *path = g_getenv(variable);

    if (!path) {
        fail_msg("%s is not set: run by meson", variable);
    }
    return path;
}

static void run(char **argv, char **envp, Result *ret_result)
{
    g_autoptr(GError) error = NULL;

    if (!g_spawn_sync(NULL, argv, envp, G_SPAWN_SEARCH_PATH, NULL, NULL,
                      &ret_result->out, &ret_result->err, &ret_result->status,
                      &error)) {
        fail_msg("%s", error->message);
    }
    assert_true(WIFEXITED(ret_result->status));
    ret_result->status = WEXITSTATUS(ret_result->status);
}

/* The version that the plugin has in this host, with PREHEAT_PLUGIN_API set
 * to wanted unless that is NULL. */
static int version_in(const char *host, const char *wanted)
{
    char *argv[] = {(char *)path_in(host), (char *)path_in("PREHEAT_PLUGIN"),
                    NULL};
    g_auto(GStrv) envp =
        g_environ_unsetenv(g_get_environ(), "PREHEAT_PLUGIN_API");
    g_auto(Result) result = {0};

    if (wanted) {
        envp = g_environ_setenv(envp, "PREHEAT_PLUGIN_API", wanted, TRUE);
    }
    run(argv, envp, &result);
    if (result.status != 0) {
        fail_msg("%s", result.err);
    }
    return (int)g_ascii_strtoll(result.out, NULL, 10);
}

/* option: NULL for none. */
static void install(const char *option, Result *ret_result)
{
    char *argv[] = {
        (char *)path_in(OLD_HOST),
        (char *)path_in("PREHEAT_PLUGIN"),
        (char *)"--install",
        (char *)option,
        NULL,
    };

    run(argv, NULL, ret_result);
}

/* ---- the version ---- */

static void a_qemu_with_the_symbols_of_10_2_gets_version_2(void **state)
{
    assert_int_equal(version_in(OLD_HOST, NULL), 2);
}

static void a_qemu_with_the_symbols_of_11_1_gets_version_7(void **state)
{
    assert_int_equal(version_in(NEW_HOST, NULL), 7);
}

static void the_environment_can_ask_for_another_version(void **state)
{
    assert_int_equal(version_in(OLD_HOST, "9"), 9);
    assert_int_equal(version_in(NEW_HOST, "9"), 9);
}

static void garbage_in_the_environment_is_ignored(void **state)
{
    static const char *const garbage[] = {
        "", "seven", "0", "-3", "3x", " 3", "99999999999999999999",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(garbage); i++) {
        assert_int_equal(version_in(OLD_HOST, garbage[i]), 2);
        assert_int_equal(version_in(NEW_HOST, garbage[i]), 7);
    }
}

/* ---- the entry ---- */

static void the_plugin_installs_without_options(void **state)
{
    g_auto(Result) result = {0};

    install(NULL, &result);
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, 0);
}

static void an_option_that_is_not_known_is_refused_and_named(void **state)
{
    static const char *const options[] = {
        "snapshot=vm.snap", "control-fd",
        "control-fd=",      "control-fd=two",
        "control-fd=2",     "control-fd=-1",
        "control-fd=98765", "control-fd=3000000000",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        g_auto(Result) result = {0};

        install(options[i], &result);
        assert_int_not_equal(result.status, 0);
        assert_non_null(strstr(result.err, options[i]));
        assert_non_null(strstr(result.err, "control-fd=N"));
    }
}

static void the_plugin_greets_on_the_socket_that_it_inherits(void **state)
{
    int fd;
    int input;
    int status;
    GPid host;
    LineClient *client = line_client_new_pair(&fd);
    int inherited = dup(fd); /* without FD_CLOEXEC */
    g_autofree char *option = g_strdup_printf("control-fd=%d", inherited);
    char *argv[] = {
        (char *)path_in(OLD_HOST),
        (char *)path_in("PREHEAT_PLUGIN"),
        (char *)"--install",
        option,
        NULL,
    };

    assert_true(g_spawn_async_with_pipes(
        NULL, argv, NULL,
        G_SPAWN_LEAVE_DESCRIPTORS_OPEN | G_SPAWN_DO_NOT_REAP_CHILD |
            G_SPAWN_STDOUT_TO_DEV_NULL,
        NULL, NULL, &host, &input, NULL, NULL, NULL));
    close(inherited);
    close(fd);
    json_t *greeting = line_client_read(client);
    int pid = 0;
    assert_int_equal(json_unpack(greeting, "{s:{s:i}}", "preheat", "pid", &pid),
                     0);
    assert_int_equal(pid, host);
    json_decref(greeting);

    close(input);
    assert_int_equal(waitpid(host, &status, 0), host);
    assert_int_equal(status, 0);
    assert_null(line_client_read(client));
    line_client_free(client);
}

/* ---- the symbols ---- */

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The last word of each of nm's lines, but for what the compiler's
 * sanitizers add. */
static char *exported_names(const char *listing)
{
    g_auto(GStrv) lines = g_strsplit(listing, "\n", 0);
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (size_t i = 0; lines[i]; i++) {
        char *name = strrchr(lines[i], ' ');

        if (name && !g_str_has_prefix(name, " __")) {
            g_ptr_array_add(names, name + 1);
        }
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return g_strjoinv(" ", (char **)names->pdata);
}

static void the_plugin_exports_nothing_but_what_qemu_asks_for(void **state)
{
    char *argv[] = {(char *)"nm", (char *)"-D", (char *)"--defined-only",
                    (char *)path_in("PREHEAT_PLUGIN"), NULL};
    g_autofree char *nm = g_find_program_in_path("nm");
    g_auto(Result) result = {0};

    if (!nm) {
        print_message("skipped: nm (binutils) is not installed\n");
        skip();
    }
    run(argv, NULL, &result);
    assert_int_equal(result.status, 0);
    g_autofree char *names = exported_names(result.out);
    assert_string_equal(names, "qemu_plugin_install qemu_plugin_version");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_qemu_with_the_symbols_of_10_2_gets_version_2),
        cmocka_unit_test(a_qemu_with_the_symbols_of_11_1_gets_version_7),
        cmocka_unit_test(the_environment_can_ask_for_another_version),
        cmocka_unit_test(garbage_in_the_environment_is_ignored),
        cmocka_unit_test(the_plugin_installs_without_options),
        cmocka_unit_test(an_option_that_is_not_known_is_refused_and_named),
        cmocka_unit_test(the_plugin_greets_on_the_socket_that_it_inherits),
        cmocka_unit_test(the_plugin_exports_nothing_but_what_qemu_asks_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
