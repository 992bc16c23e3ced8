/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "formats/control-protocol.h"
#include "host/migration-settings.h"
#include "host/qmp.h"
#include "host/save-mark.h"
#include "host/tag-saver.h"
#include "tests/formats/image.h"
#include "tests/formats/qcow2-image.h"
#include "tests/host/fake-peer.h"
#include "tests/host/fake-plugin.h"

/* A fake QEMU with one disk, which has the snapshot "warm" all the time. */
typedef struct World {
    char *directory;
    char *disk; /* its file */
    const char *format;
    int minor; /* of version 11 */
    bool runs;
    bool mapped_ram;
    bool saved_mapped; /* the job ran with mapped-ram on */
    bool has_job;
    char *opaque;          /* of the only descriptor set; NULL: there is none */
    const char *job_error; /* NULL: it goes well */
    json_t *arguments;     /* of snapshot-save */
    bool lacks_vmgenid;
    const char *interrupted;   /* at this command; NULL: at none */
    unsigned n_interrupts;     /* so many times */
    int interrupt_fd;          /* each interruption can be read once */
    bool interrupt_in_opening; /* the window */
    bool mapped_in_window;     /* mapped-ram was on then */
    bool discarded;            /* the window */
    FakePeer *peer;
    Machine *machine;
} World;

static GString *said;

static void say(const char *text)
{
    g_string_append_printf(said, "%s\n", text);
}

static json_t *query_block(const World *world)
{
    return json_pack("[{s:s, s:{s:s, s:s, s:s, s:b}}]", "device", "d0",
                     "inserted", "node-name", "#block1", "file", world->disk,
                     "drv", world->format, "ro", 0);
}

static json_t *query_jobs(const World *world)
{
    json_t *job =
        json_pack("{s:s, s:s}", "id", "preheat-savevm", "status", "concluded");

    if (!world->has_job) {
        json_decref(job);
        return json_array();
    }
    if (world->job_error) {
        json_object_set_new(job, "error", json_string(world->job_error));
    }
    return json_pack("[o]", job);
}

static json_t *query_fdsets(const World *world)
{
    return world->opaque ? json_pack("[{s:i, s:[{s:i, s:s}]}]", "fdset-id", 1,
                                     "fds", "fd", 20, "opaque", world->opaque)
                         : json_array();
}

static json_t *snapshot_save(World *world, const json_t *arguments)
{
    world->saved_mapped = world->mapped_ram;
    world->has_job = true;
    world->arguments = json_deep_copy(arguments);
    return json_object();
}

static void set_capabilities(World *world, const json_t *arguments)
{
    const json_t *item =
        json_array_get(json_object_get(arguments, "capabilities"), 0);

    world->mapped_ram = json_is_true(json_object_get(item, "state"));
}

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    World *world = opaque;

    if (world->interrupted && strcmp(command, world->interrupted) == 0) {
        world->interrupted = NULL;
        eventfd_write(world->interrupt_fd, world->n_interrupts);
    }
    if (strcmp(command, "query-version") == 0) {
        return json_pack("{s:{s:i, s:i, s:i}}", "qemu", "major", 11, "minor",
                         world->minor, "micro", 3);
    } else if (strcmp(command, "query-block") == 0) {
        return query_block(world);
    } else if (strcmp(command, "query-status") == 0) {
        return json_pack("{s:s, s:b}", "status",
                         world->runs ? "running" : "paused", "running",
                         (int)world->runs);
    } else if (strcmp(command, "query-migrate-capabilities") == 0) {
        return json_pack("[{s:s, s:b}]", "capability", "mapped-ram", "state",
                         (int)world->mapped_ram);
    } else if (strcmp(command, "migrate-set-capabilities") == 0) {
        set_capabilities(world, arguments);
    } else if (strcmp(command, "query-fdsets") == 0) {
        return query_fdsets(world);
    } else if (strcmp(command, "add-fd") == 0) {
        world->opaque =
            g_strdup(json_string_value(json_object_get(arguments, "opaque")));
        return json_pack("{s:i, s:i}", "fdset-id", 1, "fd", 20);
    } else if (strcmp(command, "remove-fd") == 0) {
        g_clear_pointer(&world->opaque, g_free);
    } else if (strcmp(command, "stop") == 0) {
        world->runs = false;
    } else if (strcmp(command, "cont") == 0) {
        world->runs = true;
    } else if (strcmp(command, "query-cpus-fast") == 0) {
        return json_array();
    } else if (strcmp(command, "qom-get") == 0) {
        return json_string("pc-q35-11.1-machine");
    } else if (strcmp(command, "human-monitor-command") == 0) {
        return json_string("  Block Name    PSize  Offset  Used  Total\n");
    } else if (world->lacks_vmgenid &&
               strcmp(command, "query-vm-generation-id") == 0) {
        *ret_refusal = "VM Generation ID device not found";
        return NULL;
    } else if (strcmp(command, "snapshot-save") == 0) {
        return snapshot_save(world, arguments);
    } else if (strcmp(command, "query-jobs") == 0) {
        return query_jobs(world);
    } else if (strcmp(command, "job-dismiss") == 0) {
        world->has_job = false;
    }
    return json_object();
}

static json_t *answer_as_plugin(FakePeer *peer, const char *command,
                                const json_t *arguments,
                                const char **ret_refusal, void *opaque)
{
    World *world = opaque;

    if (strcmp(command, CONTROL_CMD_PROFILE_START) == 0) {
        world->mapped_in_window = world->mapped_ram;
        if (world->interrupt_in_opening) {
            eventfd_write(world->interrupt_fd, 1);
        }
    }
    if (json_is_true(json_object_get(arguments, CONTROL_KEY_DISCARD))) {
        world->discarded = true;
    }
    return strcmp(command, CONTROL_CMD_QUERY) == 0
               ? json_pack("{s:s}", CONTROL_KEY_STATE, "idle")
               : json_pack("{s:s}", CONTROL_KEY_STATE, "done");
}

static void write_disk(const World *world)
{
    const Image image = image_small();
    g_autoptr(GBytes) state = image_bytes(&image);

    qcow2_image_save_around(state, world->disk);
}

static int set_up(void **state)
{
    World *world = g_new0(World, 1);

    world->directory = make_directory();
    world->disk = g_build_filename(world->directory, "d0.qcow2", NULL);
    world->format = "qcow2";
    world->minor = 1;
    world->runs = true;
    world->n_interrupts = 1;
    world->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    write_disk(world);
    world->machine =
        machine_new(fake_peer_connect_qmp(answer, world, &world->peer));
    said = g_string_new(NULL);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;

    machine_free(world->machine);
    fake_peer_free(world->peer);
    json_decref(world->arguments);
    close(world->interrupt_fd);
    g_free(world->opaque);
    remove_directory(world->directory);
    g_string_free(said, TRUE);
    g_free(world->disk);
    g_free(world);
    return 0;
}

static bool save_with(World *world, const char *tag, const ProfileTime *profile,
                      SaveResult *ret_result, GError **error)
{
    const TagSaveOptions options = {.tag = tag,
                                    .profile = profile,
                                    .interrupt_fd = world->interrupt_fd,
                                    .say = say};
    g_autofree char *disk = NULL;
    bool ok = tag_saver_run(world->machine, &options, &disk, ret_result, error);

    if (ok) {
        assert_string_equal(disk, world->disk);
    }
    return ok;
}

static bool save(World *world, const char *tag, SaveResult *ret_result,
                 GError **error)
{
    return save_with(world, tag, NULL, ret_result, error);
}

static bool save_with_profile(World *world, const char *tag,
                              SaveResult *ret_result, GError **error)
{
    const ProfileTime time = {.max_ms = 1000};
    FakePlugin *plugin = fake_plugin_new(answer_as_plugin, world);
    bool ok = save_with(world, tag, &time, ret_result, error);

    fake_plugin_free(plugin);
    return ok;
}

/* Nothing of the save is left in QEMU, and the guest runs. */
static void assert_all_is_back(const World *world)
{
    assert_true(world->runs);
    assert_false(world->mapped_ram);
    assert_null(world->opaque);
}

static void refuse(World *world, const char *text)
{
    g_autofree char *log = NULL;
    GError *error = NULL;
    SaveResult result;

    assert_false(save(world, "warm", &result, &error));
    assert_non_null(strstr(error->message, text));
    g_error_free(error);
    assert_false(world->mapped_ram);
}

static void the_machine_is_saved_with_mapped_ram_on_for_that_time(void **state)
{
    World *world = *state;
    SaveResult result;
    GError *error = NULL;

    save(world, "warm", &result, &error);
    assert_no_error(error);
    assert_true(world->saved_mapped);
    assert_false(world->mapped_ram);
    assert_false(world->has_job);
    assert_true(result.stored_bytes > 0);
    g_autofree char *log = fake_peer_log(world->peer);
    assert_null(strstr(log, "stop"));
    g_autofree char *told =
        json_dumps(world->arguments, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(told, "{\"devices\":[\"#block1\"],"
                              "\"job-id\":\"preheat-savevm\","
                              "\"tag\":\"warm\",\"vmstate\":\"#block1\"}");
}

static void an_older_qemu_is_refused_with_its_version(void **state)
{
    World *world = *state;

    world->minor = 0;
    refuse(world, "needs QEMU 11.1 or newer, and this is 11.0.3");
    assert_false(world->saved_mapped);
}

static void a_disk_that_cannot_have_snapshots_is_refused_by_name(void **state)
{
    World *world = *state;

    world->format = "raw";
    refuse(world, "the disk d0 (");
    assert_false(world->saved_mapped);
}

static void why_qemu_could_not_save_is_told(void **state)
{
    World *world = *state;

    world->job_error = "no room";
    refuse(world, "QEMU could not save: no room");
    assert_false(world->has_job);
}

static void a_state_that_could_not_be_loaded_is_told(void **state)
{
    World *world = *state;
    GError *error = NULL;
    SaveResult result;

    assert_false(save(world, "cold", &result, &error));
    assert_non_null(strstr(error->message, "preheat cannot load it"));
    g_error_free(error);
}

static void a_guest_that_stands_still_is_saved_and_told_of(void **state)
{
    World *world = *state;
    GError *error = NULL;
    SaveResult result;

    world->runs = false;
    save(world, "warm", &result, &error);
    assert_no_error(error);
    assert_int_equal(result.stopped_us, 0);
}

/* As it is after the "stop" of a save that recorded. */
static void what_a_killed_save_has_left_is_set_right(void **state)
{
    World *world = *state;
    Rpc *qmp = machine_qmp(world->machine);
    GError *error = NULL;
    SaveResult result;
    g_autoptr(MigrationSettings) settings =
        migration_settings_new(qmp, MIGRATION_TO_FILE, NULL);
    g_autoptr(SaveMark) mark = save_mark_put(qmp, 0, true, settings, NULL);

    assert_true(migration_settings_apply(settings, qmp, NULL));
    world->runs = false;
    world->has_job = true;
    save(world, "warm", &result, &error);
    assert_no_error(error);
    assert_non_null(strstr(said->str, "an earlier save was not finished"));
    assert_true(world->runs);
    assert_false(world->mapped_ram);
    assert_null(world->opaque);
    assert_true(result.stopped_us > 0);
}

static void a_machine_without_a_vmgenid_device_is_told_of_once(void **state)
{
    World *world = *state;
    GError *error = NULL;
    SaveResult result;

    world->lacks_vmgenid = true;
    save(world, "warm", &result, &error);
    assert_no_error(error);
    const char *note = strstr(said->str, "vmgenid");
    assert_non_null(note);
    assert_null(strstr(note + 1, "vmgenid"));
}

static void
a_signal_while_settings_are_made_leaves_them_as_they_were(void **state)
{
    World *world = *state;
    GError *error = NULL;
    SaveResult result;

    world->interrupted = "migrate-set-capabilities";
    assert_false(save(world, "warm", &result, &error));
    assert_util_error(error, UTIL_ERROR_INTERRUPTED, "interrupted");
    assert_all_is_back(world);
    g_autofree char *log = fake_peer_log(world->peer);
    assert_null(strstr(log, "snapshot-save"));
}

static void one_signal_does_not_end_a_save_that_qemu_has_begun(void **state)
{
    World *world = *state;
    GError *error = NULL;
    SaveResult result;

    world->interrupted = "snapshot-save";
    save(world, "warm", &result, &error);
    assert_no_error(error);
    assert_non_null(strstr(said->str, "a second signal does not wait"));
    assert_all_is_back(world);
}

static void
two_signals_end_a_save_and_what_is_left_tells_the_next_one(void **state)
{
    World *world = *state;
    GError *error = NULL;
    SaveResult result;
    eventfd_t left;

    world->interrupted = "snapshot-save";
    world->n_interrupts = 2;
    assert_false(save(world, "warm", &result, &error));
    assert_util_error(error, UTIL_ERROR_INTERRUPTED,
                      "the next preheat savevm restores QEMU's migration "
                      "settings");
    error = NULL;
    assert_int_equal(eventfd_read(world->interrupt_fd, &left), 0);
    save(world, "warm", &result, &error);
    assert_no_error(error);
    assert_all_is_back(world);
}

static void a_guest_left_stopped_is_known_until_it_runs(void **state)
{
    World *world = *state;
    Rpc *qmp = machine_qmp(world->machine);
    g_autoptr(MigrationSettings) settings =
        migration_settings_new(qmp, MIGRATION_TO_FILE, NULL);
    g_autoptr(SaveMark) mark = save_mark_put(qmp, 0, true, settings, NULL);
    GError *error = NULL;
    SaveResult result;

    assert_true(migration_settings_apply(settings, qmp, NULL));
    world->runs = false;
    world->interrupted = "query-status";
    assert_false(save(world, "warm", &result, &error));
    assert_util_error(error, UTIL_ERROR_INTERRUPTED, "interrupted");
    assert_non_null(world->opaque);
    assert_true(world->mapped_ram);
}

static void the_settings_are_back_when_the_window_opens(void **state)
{
    World *world = *state;
    GError *error = NULL;
    SaveResult result;

    world->mapped_in_window = true;
    save_with_profile(world, "warm", &result, &error);
    assert_no_error(error);
    json_decref(result.profile);
    assert_false(world->mapped_in_window);
    assert_non_null(strstr(said->str, "recording which pages"));
    assert_false(world->discarded);
    assert_all_is_back(world);
}

static void a_signal_while_the_window_opens_costs_just_the_order(void **state)
{
    World *world = *state;
    GError *error = NULL;
    SaveResult result;

    world->interrupt_in_opening = true;
    assert_false(save_with_profile(world, "warm", &result, &error));
    assert_util_error(error, UTIL_ERROR_INTERRUPTED, "it has no order");
    assert_true(world->discarded);
    assert_all_is_back(world);
}

static void no_order_is_made_for_a_state_that_cannot_be_loaded(void **state)
{
    World *world = *state;
    GError *error = NULL;
    SaveResult result;

    assert_false(save_with_profile(world, "cold", &result, &error));
    assert_non_null(strstr(error->message, "preheat cannot load it"));
    g_error_free(error);
    assert_true(world->discarded);
    assert_all_is_back(world);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_machine_is_saved_with_mapped_ram_on_for_that_time),
        TEST(an_older_qemu_is_refused_with_its_version),
        TEST(a_disk_that_cannot_have_snapshots_is_refused_by_name),
        TEST(why_qemu_could_not_save_is_told),
        TEST(a_state_that_could_not_be_loaded_is_told),
        TEST(a_guest_that_stands_still_is_saved_and_told_of),
        TEST(what_a_killed_save_has_left_is_set_right),
        TEST(a_machine_without_a_vmgenid_device_is_told_of_once),
        TEST(a_signal_while_settings_are_made_leaves_them_as_they_were),
        TEST(one_signal_does_not_end_a_save_that_qemu_has_begun),
        TEST(two_signals_end_a_save_and_what_is_left_tells_the_next_one),
        TEST(a_guest_left_stopped_is_known_until_it_runs),
        TEST(the_settings_are_back_when_the_window_opens),
        TEST(a_signal_while_the_window_opens_costs_just_the_order),
        TEST(no_order_is_made_for_a_state_that_cannot_be_loaded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
