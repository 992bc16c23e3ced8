/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The whole sequence of a load against a program that takes QEMU's place;
 * $FAKE_QEMU_PROGRAM is its path.
 */
#include "tests/util/support.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/loader.h"
#include "tests/formats/image.h"

typedef struct Fixture {
    char *directory;
    char *snapshot;
    char *log_path;
    char *log; /* after a load */
    char *argv[3];
    LoadOptions options;
    sigset_t mask;
} Fixture;

/* Tests are one at a time, and in one thread. */
static GString *said;

static void say(const char *text)
{
    g_string_append_printf(said, "%s\n", text);
}

static void write_snapshot(const char *path)
{
    const Image image = image_small();
    int fd = image_write(&image);
    g_autofree char *source = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *bytes = NULL;
    gsize len;

    assert_true(g_file_get_contents(source, &bytes, &len, NULL));
    assert_true(g_file_set_contents(path, bytes, (gssize)len, NULL));
    close(fd);
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->directory = make_directory();
    fixture->snapshot = g_build_filename(fixture->directory, "vm.snap", NULL);
    fixture->log_path = g_build_filename(fixture->directory, "log", NULL);
    write_snapshot(fixture->snapshot);
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

static int tear_down(void **state)
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

static bool load(Fixture *fixture, const char *behaviour, int *ret_status,
                 GError **error)
{
    bool ok;

    g_setenv("FAKE_QEMU", behaviour, TRUE);
    g_setenv("FAKE_QEMU_LOG", fixture->log_path, TRUE);
    ok = loader_run(&fixture->options, ret_status, error);
    assert_true(
        g_file_get_contents(fixture->log_path, &fixture->log, NULL, NULL));
    return ok;
}

static int load_well(Fixture *fixture, const char *behaviour)
{
    GError *error = NULL;
    int status = -1;

    load(fixture, behaviour, &status, &error);
    assert_no_error(error);
    return status;
}

static void load_badly(Fixture *fixture, const char *behaviour, UtilError code,
                       const char *text)
{
    GError *error = NULL;
    int status;

    assert_false(load(fixture, behaviour, &status, &error));
    assert_util_error(error, code, text);
}

static bool was_told(const Fixture *fixture, const char *what)
{
    return strstr(fixture->log, what) != NULL;
}

static void assert_told(const Fixture *fixture, const char *what)
{
    if (!was_told(fixture, what)) {
        fail_msg("not told \"%s\", but:\n%s", what, fixture->log);
    }
}

/* That one was told after the other. */
static void assert_sequence(const Fixture *fixture, const char *one,
                            const char *other)
{
    assert_told(fixture, one);
    assert_told(fixture, other);
    assert_true(strstr(fixture->log, one) < strstr(fixture->log, other));
}

static void the_guest_is_resumed_when_the_device_state_is_loaded(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "ends-with-7"), 7);
    assert_sequence(fixture, "control load", "control attach");
    assert_sequence(fixture, "control attach", "qmp migrate-incoming");
    assert_told(fixture, "incoming whole");
    assert_sequence(fixture, "qmp migrate-incoming", "qmp cont");
    assert_sequence(fixture, "\"qemu-ready\"", "\"resumed\"");
    assert_string_equal(said->str, "");
}

/* Else nobody could have QEMU migrate through a socket, say. */
static void qemu_migrates_in_its_own_way_again_before_it_resumes(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "");
    assert_sequence(fixture, "\"mapped-ram\", \"state\": true",
                    "qmp migrate-incoming");
    assert_sequence(fixture, "qmp migrate-incoming",
                    "\"mapped-ram\", \"state\": false");
    assert_sequence(fixture, "\"mapped-ram\", \"state\": false", "qmp cont");
}

static void the_plugin_is_told_what_was_asked_for(void **state)
{
    Fixture *fixture = *state;

    fixture->options.policy = LOAD_POLICY_ORDER;
    fixture->options.order = "/vm.order";
    fixture->options.record = "/new.order";
    fixture->options.record_ms = 2500;
    fixture->options.stats = "/stats.json";
    fixture->options.start_us = 77;
    load_well(fixture, "");
    assert_told(fixture, "control load {\"descriptors\": [\"snapshot\"], "
                         "\"offset\": 0, \"order\": \"/vm.order\", "
                         "\"policy\": \"order\", \"record\": \"/new.order\", "
                         "\"record-for\": 2500, \"snapshot\": \"/");
    assert_told(fixture, "\"start-us\": 77, \"stats\": \"/stats.json\"}");
    assert_told(fixture, "\"vcpu-threads\": [11, 12]");
}

static uintmax_t inode(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_ino;
}

static void the_plugin_gets_the_files_that_preheat_opened(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *order =
        g_build_filename(fixture->directory, "vm.order", NULL);
    g_autofree char *descriptors = NULL;

    assert_true(g_file_set_contents(order, "hint", -1, NULL));
    descriptors = g_strdup_printf("descriptor 0 is %ju\ndescriptor 1 is %ju\n",
                                  inode(fixture->snapshot), inode(order));
    fixture->options.policy = LOAD_POLICY_ORDER;
    fixture->options.order = order;
    load_well(fixture, "");
    assert_told(fixture, "\"descriptors\": [\"snapshot\", \"order\"]");
    assert_told(fixture, descriptors);
}

static void a_guest_asked_to_stay_paused_is_not_resumed(void **state)
{
    Fixture *fixture = *state;
    char *argv[] = {fixture->argv[0], (char *)"-S", (char *)"-paused", NULL};

    fixture->options.qemu_argv = argv;
    assert_int_equal(load_well(fixture, ""), 0);
    assert_told(fixture, "incoming whole");
    assert_told(fixture, "control query-preheat");
    assert_false(was_told(fixture, "qmp cont"));
    assert_false(was_told(fixture, "qmp stop"));
}

static void the_guest_waits_for_the_pages_it_is_to_wait_for(void **state)
{
    Fixture *fixture = *state;

    fixture->options.wait = LOAD_WAIT_ALL;
    load_well(fixture, "");
    assert_sequence(fixture, "control wait {\"for\": \"all\"}", "qmp cont");
}

static void with_policy_full_qemu_loads_the_snapshot_itself(void **state)
{
    Fixture *fixture = *state;

    fixture->options.policy = LOAD_POLICY_FULL;
    load_well(fixture, "full");
    assert_told(fixture, "\"uri\": \"file:/proc/self/fd/");
    assert_told(fixture, "incoming whole");
    assert_false(was_told(fixture, "control attach"));
    assert_sequence(fixture, "\"loaded\"", "\"resumed\"");
}

static void a_qemu_that_ends_at_once_passes_its_status_on(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "ends-at-once"), 3);
    assert_non_null(strstr(said->str, "before its monitor answered"));
    assert_non_null(strstr(said->str, "--plugin-api"));
}

static void a_signal_that_ends_qemu_is_not_laid_on_the_plugin(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "is-ended"), 128 + SIGINT);
    assert_non_null(strstr(said->str, "ended by a signal (Interrupt)"));
    assert_null(strstr(said->str, "plugin"));
}

static void another_machine_is_refused_before_anything_is_lost(void **state)
{
    Fixture *fixture = *state;

    load_badly(fixture, "other-ram", UTIL_ERROR_FAILED,
               "RAM block pc.ram is 1 KiB in the snapshot but 2 MiB");
    assert_false(was_told(fixture, "control attach"));
    assert_told(fixture, "qmp quit");
}

static void ram_that_the_plugin_refuses_is_not_loaded(void **state)
{
    Fixture *fixture = *state;

    load_badly(fixture, "no-attach", UTIL_ERROR_REFUSED, "an ordinary file");
    assert_false(was_told(fixture, "migrate-incoming"));
    assert_told(fixture, "qmp quit");
}

static void a_device_state_that_fails_is_told_with_qemus_reason(void **state)
{
    Fixture *fixture = *state;

    load_badly(fixture, "bad-device-state", UTIL_ERROR_FAILED,
               "load of the clock failed");
    assert_false(was_told(fixture, "qmp cont"));
}

static void a_file_that_is_no_snapshot_ends_qemu(void **state)
{
    Fixture *fixture = *state;
    GError *error = NULL;
    int status;

    assert_true(g_file_set_contents(fixture->snapshot, "text", 4, NULL));
    g_setenv("FAKE_QEMU", "other-ram", TRUE);
    g_setenv("FAKE_QEMU_LOG", fixture->log_path, TRUE);
    assert_false(loader_run(&fixture->options, &status, &error));
    assert_non_null(strstr(error->message, fixture->snapshot));
    g_error_free(error);
}

static void an_order_that_cannot_be_used_is_warned_of(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "bad-order"), 0);
    assert_non_null(strstr(said->str, "warning: vm.order is torn"));
}

static void a_read_error_stops_the_guest_until_it_is_mended(void **state)
{
    Fixture *fixture = *state;
    const char *stop;

    assert_int_equal(load_well(fixture, "read-error"), 0);
    assert_told(fixture, "qmp stop");
    stop = strstr(fixture->log, "qmp stop");
    assert_non_null(strstr(stop, "qmp cont"));
    assert_non_null(strstr(said->str, "vm.snap: reading at offset 4096 "
                                      "failed: Input/output error"));
    assert_non_null(strstr(said->str, "retry"));
    assert_non_null(strstr(said->str, "reading goes on"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_guest_is_resumed_when_the_device_state_is_loaded),
        TEST(qemu_migrates_in_its_own_way_again_before_it_resumes),
        TEST(the_plugin_is_told_what_was_asked_for),
        TEST(the_plugin_gets_the_files_that_preheat_opened),
        TEST(a_guest_asked_to_stay_paused_is_not_resumed),
        TEST(the_guest_waits_for_the_pages_it_is_to_wait_for),
        TEST(with_policy_full_qemu_loads_the_snapshot_itself),
        TEST(a_qemu_that_ends_at_once_passes_its_status_on),
        TEST(a_signal_that_ends_qemu_is_not_laid_on_the_plugin),
        TEST(another_machine_is_refused_before_anything_is_lost),
        TEST(ram_that_the_plugin_refuses_is_not_loaded),
        TEST(a_device_state_that_fails_is_told_with_qemus_reason),
        TEST(a_file_that_is_no_snapshot_ends_qemu),
        TEST(an_order_that_cannot_be_used_is_warned_of),
        TEST(a_read_error_stops_the_guest_until_it_is_mended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
