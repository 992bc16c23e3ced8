/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/host/loader-world.h"

#include <stdlib.h>
#include <string.h>

#include "tests/formats/image.h"

GString *said;

void say(const char *text)
{
    g_string_append_printf(said, "%s\n", text);
}

int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    const Image image = image_small();

    fixture->directory = make_directory();
    fixture->snapshot = g_build_filename(fixture->directory, "vm.snap", NULL);
    fixture->log_path = g_build_filename(fixture->directory, "log", NULL);
    image_save(&image, fixture->snapshot);
    fixture->argv[0] = g_strdup(g_getenv("FAKE_QEMU_PROGRAM"));
    fixture->options = (LoadOptions){
        .given_snapshot = fixture->snapshot,
        .snapshot = fixture->snapshot,
        .policy = LOAD_POLICY_SEQUENTIAL,
        .plugin = "/plugin.so",
        .qemu_argv = fixture->argv,
        .say = say,
    };
    pthread_sigmask(SIG_SETMASK, NULL, &fixture->mask);
    said = g_string_new(NULL);
    *state = fixture;
    return 0;
}

int tear_down(void **state)
{
    Fixture *fixture = *state;

    pthread_sigmask(SIG_SETMASK, &fixture->mask, NULL);
    g_string_free(said, TRUE);
    g_free(fixture->log);
    g_free(fixture->log_path);
    g_free(fixture->snapshot);
    g_free(fixture->argv[0]);
    remove_directory(fixture->directory);
    g_free(fixture);
    return 0;
}

bool load(Fixture *fixture, const char *behaviour, int *ret_status,
          GError **error)
{
    bool ok;

    g_setenv("FAKE_QEMU", behaviour, TRUE);
    g_setenv("FAKE_QEMU_LOG", fixture->log_path, TRUE);
    g_clear_pointer(&fixture->log, g_free);
    ok = loader_run(&fixture->options, ret_status, error);
    assert_true(
        g_file_get_contents(fixture->log_path, &fixture->log, NULL, NULL));
    return ok;
}

int load_well(Fixture *fixture, const char *behaviour)
{
    GError *error = NULL;
    int status = -1;

    load(fixture, behaviour, &status, &error);
    assert_no_error(error);
    return status;
}

void load_badly(Fixture *fixture, const char *behaviour, UtilError code,
                const char *text)
{
    GError *error = NULL;
    int status;

    assert_false(load(fixture, behaviour, &status, &error));
    assert_util_error(error, code, text);
}

bool was_told(const Fixture *fixture, const char *what)
{
    return strstr(fixture->log, what) != NULL;
}

void assert_told(const Fixture *fixture, const char *what)
{
    if (!was_told(fixture, what)) {
        fail_msg("not told \"%s\", but:\n%s", what, fixture->log);
    }
}

/* That one was told after the other. */
void assert_sequence(const Fixture *fixture, const char *one, const char *other)
{
    assert_told(fixture, one);
    assert_told(fixture, other);
    assert_true(strstr(fixture->log, one) < strstr(fixture->log, other));
}

void assert_said(const char *text)
{
    if (!strstr(said->str, text)) {
        fail_msg("not said \"%s\", but:\n%s", text, said->str);
    }
}

pid_t daemon_pid(const Fixture *fixture)
{
    const char *found = strstr(fixture->log, "daemon ");

    assert_non_null(found);
    return (pid_t)atoi(found + strlen("daemon "));
}
