/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sequence of a load, and what is refused.
 */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/formats/image.h"
#include "tests/host/loader-world.h"

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
    static const struct {
        const char *while_loading;
        const char *after;
    } settings[] = {
        {"\"mapped-ram\", \"state\": true", "\"mapped-ram\", \"state\": false"},
        {"\"events\", \"state\": true", "\"events\", \"state\": false"},
        {"\"postcopy-ram\", \"state\": false",
         "\"postcopy-ram\", \"state\": true"},
    };
    Fixture *fixture = *state;

    load_well(fixture, "");
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++) {
        assert_sequence(fixture, settings[i].while_loading,
                        "qmp migrate-incoming");
        assert_sequence(fixture, "qmp migrate-incoming", settings[i].after);
        assert_sequence(fixture, settings[i].after, "qmp cont");
    }
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
                         "\"max-ram\": 68719476736, "
                         "\"offset\": 0, \"order\": \"/vm.order\", "
                         "\"policy\": \"order\", \"record\": \"/new.order\", "
                         "\"record-for\": 2500, \"snapshot\": \"/");
    assert_told(fixture, "\"start-us\": 77, \"stats\": \"/stats.json\"}");
    assert_told(fixture, "\"vcpu-threads\": [11, 12]");
}

/* By the comparison with the manifest, here one of another snapshot, and by
 * what tells the plugin of the vCPUs. */
static void what_two_want_to_know_of_qemu_is_asked_once(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(Manifest) manifest = manifest_new();

    manifest->identity = g_strdup("another");
    fixture->options.manifest = manifest;
    load_well(fixture, "");
    const char *asked = strstr(fixture->log, "qmp query-cpus-fast");
    assert_non_null(asked);
    assert_null(strstr(asked + 1, "qmp query-cpus-fast"));
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
    g_autofree char *first =
        g_strdup_printf("descriptor 0 is %ju\n", inode(fixture->snapshot));
    g_autofree char *second = NULL;

    assert_true(g_file_set_contents(order, "hint", -1, NULL));
    second = g_strdup_printf("descriptor 1 is %ju\n", inode(order));
    fixture->options.policy = LOAD_POLICY_ORDER;
    fixture->options.order = order;
    load_well(fixture, "");
    assert_told(fixture, "\"descriptors\": [\"snapshot\", \"order\"]");
    assert_told(fixture, first);
    assert_told(fixture, second);
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
    g_autofree char *whole =
        g_strdup_printf("incoming is %ju", inode(fixture->snapshot));

    fixture->options.policy = LOAD_POLICY_FULL;
    load_well(fixture, "full");
    assert_told(fixture, whole);
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

static void a_qemu_that_ends_well_but_unloaded_is_a_failure(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "ends-unloaded"), 1);
    assert_non_null(strstr(said->str, "status 0 before the guest was loaded"));
}

static void a_qemu_that_ends_well_as_soon_as_it_runs_is_none(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "ends-resumed"), 0);
    assert_null(strstr(said->str, "before the guest was loaded"));
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

/* … of which no bitmap is read: with those it would be refused otherwise. */
static void
a_snapshot_of_a_larger_machine_is_refused_by_its_headers(void **state)
{
    Fixture *fixture = *state;
    int fd = image_write_claiming((UINT64_C(4) << 40) / 4096);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    GError *error = NULL;
    int status;

    fixture->options.snapshot = path;
    fixture->options.given_snapshot = path;
    assert_false(load(fixture, "is-larger", &status, &error));
    assert_non_null(strstr(error->message, "it has 4 TiB of RAM, the machine "
                                           "has"));
    assert_told(fixture, "qmp quit");
    g_error_free(error);
    close(fd);
}

/* The plugin is first told the limit for a machine that is not known yet. */
static void a_large_snapshot_is_loaded_once_its_machine_is_known(void **state)
{
    Fixture *fixture = *state;
    int fd = image_write_claiming((UINT64_C(65) << 30) / 4096);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

    fixture->options.snapshot = path;
    fixture->options.given_snapshot = path;
    assert_int_equal(load_well(fixture, "large"), 0);
    assert_told(fixture, "\"max-ram\": 68719476736,");
    assert_told(fixture, "\"max-ram\": 69793219584,");
    assert_told(fixture, "qmp cont");
    close(fd);
}

static void with_policy_full_qemu_judges_what_we_do_not_understand(void **state)
{
    Fixture *fixture = *state;

    assert_true(g_file_set_contents(fixture->snapshot, "text", 4, NULL));
    fixture->options.policy = LOAD_POLICY_FULL;
    load_well(fixture, "full");
    assert_told(fixture, "incoming whole");
    assert_told(fixture, "qmp cont");
    assert_non_null(strstr(said->str, "QEMU itself will check it"));
}

/* What is not read has no identity either. */
static void with_policy_full_so_it_does_one_that_is_too_large(void **state)
{
    Fixture *fixture = *state;
    int fd = image_write_claiming((UINT64_C(65) << 30) / 4096);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(Manifest) manifest = manifest_new();

    manifest->identity = g_strdup("another");
    fixture->options.manifest = manifest;
    fixture->options.snapshot = path;
    fixture->options.given_snapshot = path;
    fixture->options.policy = LOAD_POLICY_FULL;
    load_well(fixture, "full");
    assert_told(fixture, "qmp cont");
    assert_non_null(strstr(said->str, "QEMU itself will check it"));
    close(fd);
}

static void an_order_that_cannot_be_used_is_warned_of(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(load_well(fixture, "bad-order"), 0);
    assert_non_null(strstr(said->str, "warning: vm.order is torn"));
}

/* ---- no name is looked up or parsed ---- */

static void qemu_gets_what_it_is_to_load_as_a_descriptor(void **state)
{
    Fixture *fixture = *state;

    load_well(fixture, "");
    assert_sequence(fixture, "qmp add-fd", "qmp migrate-incoming");
    assert_told(fixture, "qmp migrate-incoming {\"exit-on-error\": false, "
                         "\"uri\": \"file:/dev/fdset/5,offset=0\"}");
    assert_sequence(fixture, "qmp migrate-incoming",
                    "qmp remove-fd {\"fdset-id\": 5}");
    assert_sequence(fixture, "qmp remove-fd", "qmp cont");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_guest_is_resumed_when_the_device_state_is_loaded),
        TEST(qemu_migrates_in_its_own_way_again_before_it_resumes),
        TEST(the_plugin_is_told_what_was_asked_for),
        TEST(what_two_want_to_know_of_qemu_is_asked_once),
        TEST(the_plugin_gets_the_files_that_preheat_opened),
        TEST(a_guest_asked_to_stay_paused_is_not_resumed),
        TEST(the_guest_waits_for_the_pages_it_is_to_wait_for),
        TEST(with_policy_full_qemu_loads_the_snapshot_itself),
        TEST(a_qemu_that_ends_at_once_passes_its_status_on),
        TEST(a_qemu_that_ends_well_but_unloaded_is_a_failure),
        TEST(a_qemu_that_ends_well_as_soon_as_it_runs_is_none),
        TEST(a_signal_that_ends_qemu_is_not_laid_on_the_plugin),
        TEST(another_machine_is_refused_before_anything_is_lost),
        TEST(ram_that_the_plugin_refuses_is_not_loaded),
        TEST(a_device_state_that_fails_is_told_with_qemus_reason),
        TEST(a_file_that_is_no_snapshot_ends_qemu),
        TEST(a_snapshot_of_a_larger_machine_is_refused_by_its_headers),
        TEST(a_large_snapshot_is_loaded_once_its_machine_is_known),
        TEST(with_policy_full_qemu_judges_what_we_do_not_understand),
        TEST(with_policy_full_so_it_does_one_that_is_too_large),
        TEST(an_order_that_cannot_be_used_is_warned_of),
        TEST(qemu_gets_what_it_is_to_load_as_a_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
