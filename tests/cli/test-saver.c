/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/cli/support.h"

#include <limits.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/qmp.h"
#include "cli/saver.h"
#include "formats/page-order.h"
#include "formats/snapshot.h"
#include "plugin/control-protocol.h"
#include "tests/cli/fake-peer.h"
#include "tests/formats/image.h"

#define OLD_BANDWIDTH 134217728

/* The fake QEMU's state; its thread's alone while it runs. */
typedef struct Machine {
    const char *run_state;
    bool has_mapped_ram;
    bool mapped_ram;
    json_int_t max_bandwidth;
    bool writable_disk;
    const char *migration;   /* status; NULL: never any */
    int polls_left;          /* until a migration that is active ends */
    int finalize_polls_left; /* until the end of "finish-migrate" */
    bool writes_garbage;
    const char *outcome;   /* how our migration ends */
    int interrupt_on_poll; /* an eventfd to raise when we are asked, or -1 */
    bool hangs_up_on_poll;
    bool ends_on_poll;
    bool has_said_so; /* … in an event */
    bool told_late;   /* … something after that */
} Machine;

/* ---- the fake's commands ---- */

static json_t *list_capabilities(const Machine *machine)
{
    json_t *list =
        json_pack("[{s:s, s:b}, {s:s, s:b}]", "capability", "events", "state",
                  1, "capability", "x-ignore-shared", "state", 0);

    if (machine->has_mapped_ram) {
        json_array_append_new(list, json_pack("{s:s, s:b}", "capability",
                                              "mapped-ram", "state",
                                              (int)machine->mapped_ram));
    }
    return list;
}

static void set_capabilities(Machine *machine, const json_t *arguments)
{
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(arguments, "capabilities"), i, item)
    {
        const char *name =
            json_string_value(json_object_get(item, "capability"));

        assert_string_equal(name, "mapped-ram");
        machine->mapped_ram = json_is_true(json_object_get(item, "state"));
    }
}

static void write_file(const Machine *machine, const char *uri)
{
    g_autofree char *path = NULL;
    const Image image = image_small();
    g_autofree char *image_path = NULL;
    g_autofree char *bytes = NULL;
    gsize len = strlen("garbage");
    int fd = image_write(&image);

    assert_true(g_str_has_prefix(uri, "file:/"));
    assert_true(g_str_has_suffix(uri, ",offset=0"));
    path = g_strndup(uri + 5, strlen(uri) - 5 - strlen(",offset=0"));
    image_path = g_strdup_printf("/proc/self/fd/%d", fd);
    assert_true(g_file_get_contents(image_path, &bytes, &len, NULL));
    close(fd);
    assert_true(g_file_set_contents_full(
        path, machine->writes_garbage ? "garbage" : bytes,
        machine->writes_garbage ? 7 : (gssize)len, G_FILE_SET_CONTENTS_NONE,
        0600, NULL));
}

static json_t *migrate(Machine *machine, const json_t *arguments)
{
    assert_true(machine->mapped_ram);
    assert_int_equal(machine->max_bandwidth, 0);
    write_file(machine, json_string_value(json_object_get(arguments, "uri")));
    machine->migration = "active";
    return json_object();
}

static void go_on(FakePeer *peer, Machine *machine)
{
    if (g_strcmp0(machine->migration, "active") != 0) {
        return;
    }
    if (machine->polls_left > 0) {
        machine->polls_left--;
        return;
    }
    machine->migration = machine->outcome;
    if (strcmp(machine->outcome, "completed") == 0) {
        machine->run_state = "finish-migrate";
    }
}

static json_t *query_migrate(FakePeer *peer, Machine *machine)
{
    bool ours = machine->mapped_ram;

    if (ours && machine->hangs_up_on_poll) {
        fake_peer_close(peer);
    }
    if (ours && machine->ends_on_poll) {
        fake_peer_event(peer, "SHUTDOWN",
                        json_pack("{s:s}", "reason", "host-signal"));
        machine->has_said_so = true;
    }
    if (ours && machine->interrupt_on_poll >= 0) {
        eventfd_write(machine->interrupt_on_poll, 1);
    } else {
        go_on(peer, machine);
    }
    if (!machine->migration) {
        return json_object();
    }
    return json_pack("{s:s, s:s, s:{s:i, s:i}}", "status", machine->migration,
                     "error-desc", "disk full", "ram", "total", 100,
                     "remaining", 50);
}

static json_t *query_status(Machine *machine)
{
    const char *run_state = machine->run_state;

    if (strcmp(run_state, "finish-migrate") == 0 &&
        machine->finalize_polls_left-- == 0) {
        machine->run_state = "postmigrate";
        machine->finalize_polls_left = 0;
    }
    return json_pack("{s:s}", "status", run_state);
}

static json_t *query_block(const Machine *machine)
{
    return json_pack("[{s:s}, {s:s, s:{s:s, s:b}}]", "device", "cd0", "device",
                     "disk0", "inserted", "file", "disk.qcow2", "ro",
                     (int)!machine->writable_disk);
}

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    Machine *machine = opaque;

    machine->told_late |= machine->has_said_so;
    if (g_str_equal(command, "query-migrate")) {
        return query_migrate(peer, machine);
    } else if (g_str_equal(command, "query-status")) {
        return query_status(machine);
    } else if (g_str_equal(command, "query-block")) {
        return query_block(machine);
    } else if (g_str_equal(command, "query-migrate-capabilities")) {
        return list_capabilities(machine);
    } else if (g_str_equal(command, "query-migrate-parameters")) {
        return json_pack("{s:I}", "max-bandwidth", machine->max_bandwidth);
    } else if (g_str_equal(command, "migrate")) {
        return migrate(machine, arguments);
    } else if (g_str_equal(command, "migrate-set-capabilities")) {
        set_capabilities(machine, arguments);
    } else if (g_str_equal(command, "migrate-set-parameters")) {
        machine->max_bandwidth =
            json_integer_value(json_object_get(arguments, "max-bandwidth"));
    } else if (g_str_equal(command, "migrate_cancel")) {
        machine->interrupt_on_poll = -1;
        machine->outcome = "cancelled";
    } else if (g_str_equal(command, "stop")) {
        machine->run_state = "paused";
    } else if (g_str_equal(command, "cont")) {
        if (strcmp(machine->run_state, "finish-migrate") == 0) {
            *ret_refusal = "Migration is not finalized yet";
            return NULL;
        }
        machine->run_state = "running";
    } else if (g_str_equal(command, "query-cpus-fast")) {
        return json_array();
    } else if (g_str_equal(command, "human-monitor-command")) {
        return json_string("  Block Name    PSize  Offset  Used  Total\n");
    }
    return json_object();
}

/* ---- a save ---- */

typedef struct Fixture {
    char *directory;
    char *output;
    Machine machine;
    FakePeer *peer;
    Rpc *qmp;
    const ProfileTime *profile; /* NULL: without */
    int listener;               /* the plugin's, or -1 */
    bool discarded;             /* the plugin was told to */
    const char *load_state;     /* as the plugin tells it */
    bool interrupt_on_wait;     /* for the load's end */
    bool ends_in_window;        /* QEMU does, with an order or without */
    bool has_order;
    char *told_before_window; /* what QEMU was told before the plugin was to
                                 open a window; NULL: it was not */
    int64_t looked_at_us;       /* at the window, last */
    int interrupt_fd;
} Fixture;

/* Tests are one at a time, and in one thread. */
static GString *said;

static void say(const char *text)
{
    g_string_append(said, text);
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    json_t *greeting;
    int fd;

    fixture->directory = make_directory();
    fixture->output = g_build_filename(fixture->directory, "vm.snap", NULL);
    fixture->listener = -1;
    fixture->load_state = "idle";
    fixture->machine = (Machine){
        .run_state = "running",
        .has_mapped_ram = true,
        .max_bandwidth = OLD_BANDWIDTH,
        .polls_left = 1,
        .outcome = "completed",
        .interrupt_on_poll = -1,
    };
    fixture->interrupt_fd = eventfd(0, EFD_CLOEXEC);
    fixture->peer = fake_peer_new_qmp(answer, &fixture->machine, &fd);
    fixture->qmp = qmp_new(fd);
    assert_true(rpc_greeting(fixture->qmp, "QMP", -1, &greeting, NULL));
    json_decref(greeting);
    said = g_string_new(NULL);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    rpc_free(fixture->qmp);
    if (fixture->peer) {
        fake_peer_free(fixture->peer);
    }
    if (fixture->listener >= 0) {
        close(fixture->listener);
    }
    close(fixture->interrupt_fd);
    g_free(fixture->told_before_window);
    g_free(fixture->output);
    remove_directory(fixture->directory);
    g_free(fixture);
    g_string_free(said, TRUE);
    return 0;
}

static bool save(Fixture *fixture, SaveResult *ret_result, GError **error)
{
    const SaveOptions options = {
        .output = fixture->output,
        .profile = fixture->profile,
        .interrupt_fd = fixture->interrupt_fd,
        .say = say,
    };

    return saver_run(fixture->qmp, &options, ret_result, error);
}

/* ---- the plugin ---- */

/* An order of what was saved, however empty. */
static void write_order(const Fixture *fixture)
{
    g_autofree char *path = profile_order_path(fixture->output);
    g_autoptr(Snapshot) snapshot = snapshot_open(fixture->output, 0, NULL);
    g_autoptr(PageOrder) order = page_order_new();

    assert_non_null(snapshot);
    order->identity = g_strdup(snapshot->identity);
    assert_true(page_order_save(order, path, NULL));
}

static void end_in_window(const Fixture *fixture, FakePeer *plugin)
{
    if (fixture->has_order) {
        write_order(fixture);
    }
    fake_peer_close(plugin);
}

static json_t *answer_as_plugin(FakePeer *peer, const char *command,
                                const json_t *arguments,
                                const char **ret_refusal, void *opaque)
{
    Fixture *fixture = opaque;

    if (json_is_true(json_object_get(arguments, "discard"))) {
        fixture->discarded = true;
    }
    if (g_str_equal(command, CONTROL_CMD_PROFILE_START)) {
        fixture->told_before_window = fake_peer_log(fixture->peer);
    }
    if (g_str_equal(command, CONTROL_CMD_WAIT) && fixture->interrupt_on_wait) {
        eventfd_write(fixture->interrupt_fd, 1);
    }
    if (!g_str_equal(command, CONTROL_CMD_PROFILE_QUERY)) {
        return json_pack("{s:s}", "state", fixture->load_state);
    }
    fixture->looked_at_us = g_get_monotonic_time();
    if (fixture->ends_in_window) {
        end_in_window(fixture, peer);
    }
    return json_pack("{s:s}", "state", "done");
}

/* This process is who serves the fake QMP, so its plugin is looked for here. */
static int listen_as_plugin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
                       CONTROL_SOCKET_NAME_FORMAT, (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                      1 + (size_t)len)),
                     0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* Be the plugin for who connects.  A GThreadFunc. */
static void *serve_as_plugin(void *opaque)
{
    Fixture *fixture = opaque;
    int fd = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC);
    json_t *greeting = json_pack("{s:{s:s, s:i}}", "preheat", "version", "1",
                                 "pid", (int)getpid());

    return fake_peer_new(fd, greeting, answer_as_plugin, fixture);
}

static bool save_with_profile(Fixture *fixture, SaveResult *ret_result,
                              GError **error)
{
    const ProfileTime time = {.max_ms = 1000};
    GThread *plugin;
    bool ok;

    fixture->listener = listen_as_plugin();
    plugin = g_thread_new("fake-plugin", serve_as_plugin, fixture);
    fixture->profile = &time;
    ok = save(fixture, ret_result, error);
    fake_peer_free(g_thread_join(plugin));
    return ok;
}

static SaveResult save_well(Fixture *fixture)
{
    SaveResult result;
    GError *error = NULL;

    save(fixture, &result, &error);
    assert_no_error(error);
    return result;
}

static void save_badly(Fixture *fixture, CliError code, const char *text)
{
    SaveResult result;
    GError *error = NULL;

    assert_false(save(fixture, &result, &error));
    assert_cli_error(error, code, text);
}

static bool log_has(Fixture *fixture, const char *commands)
{
    g_autofree char *log = fake_peer_log(fixture->peer);

    return strstr(log, commands) != NULL;
}

static void assert_last_command(Fixture *fixture, const char *command)
{
    g_autofree char *log = fake_peer_log(fixture->peer);

    assert_true(g_str_has_suffix(g_strchomp(log), command));
}

static void assert_files(Fixture *fixture, const char *names)
{
    g_autofree char *found = list_directory(fixture->directory);

    assert_string_equal(found, names);
}

static void put_old_file(Fixture *fixture, const char *name)
{
    g_autofree char *path = g_build_filename(fixture->directory, name, NULL);

    assert_true(g_file_set_contents(path, "old", 3, NULL));
}

static void put_what_a_killed_save_leaves(Fixture *fixture)
{
    put_old_file(fixture, "vm.snap.preheat-tmp");
    fixture->machine.mapped_ram = true;
    fixture->machine.max_bandwidth = 0;
}

static void assert_old_file_is_untouched(Fixture *fixture)
{
    g_autofree char *text = NULL;

    assert_files(fixture, "vm.snap");
    assert_true(g_file_get_contents(fixture->output, &text, NULL, NULL));
    assert_string_equal(text, "old");
}

static void assert_settings_are_back(Fixture *fixture)
{
    assert_false(fixture->machine.mapped_ram);
    assert_int_equal(fixture->machine.max_bandwidth, OLD_BANDWIDTH);
}

/* ---- tests ---- */

static void a_running_guest_is_stopped_saved_and_runs_on(void **state)
{
    Fixture *fixture = *state;
    SaveResult result = save_well(fixture);

    assert_true(log_has(fixture, "stop migrate query-migrate"));
    assert_string_equal(fixture->machine.run_state, "running");
    assert_files(fixture, "vm.snap");
    assert_settings_are_back(fixture);
    assert_true(result.stored_bytes > 0);
    assert_string_equal(said->str, "");
}

/* It may end as soon as it runs: see run_on() in cli/saver.c. */
static void a_guest_that_runs_again_hears_no_more(void **state)
{
    Fixture *fixture = *state;

    save_well(fixture);
    assert_last_command(fixture, " cont");
}

/* A GThreadFunc. */
static void *hang_up_as_plugin(void *opaque)
{
    Fixture *fixture = opaque;

    close(accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC));
    return NULL;
}

static void
a_plugin_that_hangs_up_is_said_to_answer_its_user_alone(void **state)
{
    Fixture *fixture = *state;
    const ProfileTime time = {.max_ms = 1000};
    GThread *plugin;

    fixture->listener = listen_as_plugin();
    plugin = g_thread_new("fake-plugin", hang_up_as_plugin, fixture);
    fixture->profile = &time;
    save_badly(fixture, CLI_ERROR_CLOSED, "the user that QEMU runs as");
    g_thread_join(plugin);
}

static void a_paused_guest_is_said_to_have_nothing_to_record(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    fixture->machine.run_state = "paused";
    assert_true(save_with_profile(fixture, &result, NULL));
    assert_non_null(strstr(said->str, "the guest is paused"));
    json_decref(result.profile);
}

static void the_profile_is_not_in_the_time_that_the_save_took(void **state)
{
    Fixture *fixture = *state;
    int64_t start_us = g_get_monotonic_time();
    SaveResult result;

    assert_true(save_with_profile(fixture, &result, NULL));
    assert_true(start_us + result.total_us <= fixture->looked_at_us);
    json_decref(result.profile);
}

static void a_guest_that_is_profiled_hears_no_more(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    assert_true(save_with_profile(fixture, &result, NULL));
    json_decref(result.profile);
    assert_true(log_has(fixture, " announce-self "));
    assert_last_command(fixture, " cont");
    assert_false(fixture->discarded);
}

/* Some cannot be set while guest RAM is watched. */
static void the_settings_are_back_when_the_window_opens(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    assert_true(save_with_profile(fixture, &result, NULL));
    json_decref(result.profile);
    assert_settings_are_back(fixture);
    assert_true(
        g_str_has_suffix(g_strchomp(fixture->told_before_window),
                         " migrate-set-parameters migrate-set-capabilities"));
}

static void the_snapshot_is_for_its_owner_only(void **state)
{
    Fixture *fixture = *state;
    struct stat status;

    save_well(fixture);
    assert_int_equal(stat(fixture->output, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void a_paused_guest_is_saved_and_stays_paused(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    fixture->machine.run_state = "paused";
    result = save_well(fixture);
    assert_false(log_has(fixture, "stop"));
    assert_false(log_has(fixture, "cont"));
    assert_int_equal(result.stopped_us, 0);
    assert_files(fixture, "vm.snap");
}

static void a_guest_whose_migration_is_not_final_yet_is_waited_for(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.finalize_polls_left = 3;
    save_well(fixture);
    assert_string_equal(fixture->machine.run_state, "running");
}

static void a_migration_under_way_is_waited_for(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.migration = "active";
    fixture->machine.polls_left = 2;
    fixture->machine.outcome = "completed";
    fixture->machine.run_state = "running";
    put_old_file(fixture, "vm.snap.preheat-tmp");
    save_well(fixture);
    assert_true(log_has(fixture, "query-migrate query-migrate query-migrate "
                                 "query-status query-status query-block"));
}

static void a_failed_save_leaves_the_guest_running_and_no_file(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap");
    fixture->machine.outcome = "failed";
    save_badly(fixture, CLI_ERROR_FAILED, "disk full");
    assert_string_equal(fixture->machine.run_state, "running");
    assert_settings_are_back(fixture);
    assert_old_file_is_untouched(fixture);
}

static void an_interrupted_save_is_cancelled_and_the_guest_runs_on(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap");
    fixture->machine.interrupt_on_poll = fixture->interrupt_fd;
    save_badly(fixture, CLI_ERROR_INTERRUPTED, "interrupted");
    assert_true(log_has(fixture, "migrate_cancel query-migrate"));
    assert_string_equal(fixture->machine.run_state, "running");
    assert_settings_are_back(fixture);
    assert_old_file_is_untouched(fixture);
}

static void a_qemu_that_ends_meanwhile_leaves_no_file(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap");
    fixture->machine.hangs_up_on_poll = true;
    save_badly(fixture, CLI_ERROR_CLOSED, "QEMU");
    assert_old_file_is_untouched(fixture);
}

/* When our poll has been answered: another event, and the end.  A
 * GThreadFunc. */
static void *end_after_poll(void *opaque)
{
    FakePeer *peer = opaque;

    fake_peer_await(peer, "query-migrate", 2);
    fake_peer_event(peer, "MIGRATION", NULL);
    fake_peer_close_output(peer);
    return NULL;
}

/* It could crash: see pump() in cli/saver.c. */
static void a_qemu_that_says_that_it_ends_hears_no_more(void **state)
{
    Fixture *fixture = *state;
    GThread *end;

    fixture->machine.ends_on_poll = true;
    fixture->machine.polls_left = INT_MAX;
    end = g_thread_new("end", end_after_poll, fixture->peer);
    save_badly(fixture, CLI_ERROR_CLOSED, "QEMU");
    g_thread_join(end);
    /* Its thread takes in what it was told before it sees the end. */
    g_clear_pointer(&fixture->qmp, rpc_free);
    g_clear_pointer(&fixture->peer, fake_peer_free);
    assert_false(fixture->machine.told_late);
    assert_files(fixture, "");
}

static void what_cannot_be_read_again_replaces_no_snapshot(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;
    g_autoptr(GError) error = NULL;

    put_old_file(fixture, "vm.snap");
    fixture->machine.writes_garbage = true;
    assert_false(save(fixture, &result, &error));
    assert_non_null(strstr(error->message, "cannot be read again"));
    assert_string_equal(fixture->machine.run_state, "running");
    assert_old_file_is_untouched(fixture);
}

static void the_order_of_what_is_no_snapshot_is_discarded(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;

    fixture->machine.writes_garbage = true;
    assert_false(save_with_profile(fixture, &result, NULL));
    assert_true(fixture->discarded);
}

static void assert_not_saved_while(Fixture *fixture, const char *load_state,
                                   CliError code, const char *text)
{
    SaveResult result;
    GError *error = NULL;

    fixture->load_state = load_state;
    assert_false(save_with_profile(fixture, &result, &error));
    assert_cli_error(error, code, text);
    assert_false(log_has(fixture, "stop"));
    assert_files(fixture, "");
}

static void
waiting_for_a_guest_that_still_loads_can_be_interrupted(void **state)
{
    Fixture *fixture = *state;

    fixture->interrupt_on_wait = true;
    assert_not_saved_while(fixture, "loading", CLI_ERROR_INTERRUPTED,
                           "interrupted");
}

static void a_guest_whose_load_has_failed_is_not_waited_for(void **state)
{
    assert_not_saved_while(*state, "failed", CLI_ERROR_FAILED,
                           "preheat control retry");
}

static void the_order_of_a_qemu_that_ends_in_the_window_counts(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;
    GError *error = NULL;

    fixture->ends_in_window = true;
    fixture->has_order = true;
    save_with_profile(fixture, &result, &error);
    assert_no_error(error);
    assert_null(result.profile);
    assert_non_null(strstr(said->str, "QEMU has ended"));
}

static void that_a_qemu_which_ended_left_no_order_is_told(void **state)
{
    Fixture *fixture = *state;
    SaveResult result;
    g_autoptr(GError) error = NULL;

    fixture->ends_in_window = true;
    assert_false(save_with_profile(fixture, &result, &error));
    assert_non_null(strstr(error->message, "it has no order"));
    assert_files(fixture, "vm.snap");
}

static void a_qemu_without_mapped_ram_is_refused_before_the_stop(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.has_mapped_ram = false;
    save_badly(fixture, CLI_ERROR_FAILED, "9.0 or later");
    assert_false(log_has(fixture, "stop"));
    assert_files(fixture, "");
}

static void a_qemu_that_waits_for_a_guest_is_refused(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.run_state = "inmigrate";
    save_badly(fixture, CLI_ERROR_FAILED, "no guest to save");
    assert_files(fixture, "");
}

static void a_guest_that_migrated_away_is_not_run_again(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.run_state = "postmigrate";
    save_badly(fixture, CLI_ERROR_FAILED, "QMP cont");
    assert_false(log_has(fixture, "cont"));
    assert_files(fixture, "");
}

static void a_guest_stopped_by_a_save_that_was_killed_is_saved(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture);
    fixture->machine.run_state = "postmigrate";
    save_well(fixture);
    assert_non_null(strstr(said->str, "cut short"));
    assert_settings_are_back(fixture);
    assert_string_equal(fixture->machine.run_state, "running");
    assert_files(fixture, "vm.snap");
}

static void
a_guest_stopped_by_a_save_that_saved_nothing_runs_again(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture);
    fixture->machine.run_state = "paused";
    save_well(fixture);
    assert_non_null(strstr(said->str, "cut short"));
    assert_settings_are_back(fixture);
    assert_string_equal(fixture->machine.run_state, "running");
}

/* Also where mapped-ram is on since QEMU itself loaded the guest. */
static void a_guest_paused_after_a_save_was_killed_stays_paused(void **state)
{
    Fixture *fixture = *state;

    put_old_file(fixture, "vm.snap.preheat-tmp");
    fixture->machine.mapped_ram = true;
    fixture->machine.run_state = "paused";
    save_well(fixture);
    assert_false(log_has(fixture, "cont"));
    assert_string_equal(said->str, "");
}

static void settings_that_a_killed_save_left_are_not_taken_over(void **state)
{
    Fixture *fixture = *state;

    put_what_a_killed_save_leaves(fixture);
    save_well(fixture);
    assert_settings_are_back(fixture);
    assert_string_equal(said->str, "");
}

static void a_writable_disk_is_spoken_of(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.writable_disk = true;
    save_well(fixture);
    assert_non_null(strstr(said->str, "disk0 (disk.qcow2) is writable"));
}

static void a_directory_that_is_missing_fails_before_the_stop(void **state)
{
    Fixture *fixture = *state;

    g_free(fixture->output);
    fixture->output =
        g_build_filename(fixture->directory, "none", "vm.snap", NULL);
    save_badly(fixture, CLI_ERROR_FAILED, "none/vm.snap.preheat-tmp");
    assert_false(log_has(fixture, "stop"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_running_guest_is_stopped_saved_and_runs_on),
        TEST(a_guest_that_runs_again_hears_no_more),
        TEST(a_plugin_that_hangs_up_is_said_to_answer_its_user_alone),
        TEST(a_paused_guest_is_said_to_have_nothing_to_record),
        TEST(the_profile_is_not_in_the_time_that_the_save_took),
        TEST(a_guest_that_is_profiled_hears_no_more),
        TEST(the_settings_are_back_when_the_window_opens),
        TEST(the_snapshot_is_for_its_owner_only),
        TEST(a_paused_guest_is_saved_and_stays_paused),
        TEST(a_guest_whose_migration_is_not_final_yet_is_waited_for),
        TEST(a_migration_under_way_is_waited_for),
        TEST(a_failed_save_leaves_the_guest_running_and_no_file),
        TEST(an_interrupted_save_is_cancelled_and_the_guest_runs_on),
        TEST(a_qemu_that_ends_meanwhile_leaves_no_file),
        TEST(a_qemu_that_says_that_it_ends_hears_no_more),
        TEST(what_cannot_be_read_again_replaces_no_snapshot),
        TEST(the_order_of_what_is_no_snapshot_is_discarded),
        TEST(waiting_for_a_guest_that_still_loads_can_be_interrupted),
        TEST(a_guest_whose_load_has_failed_is_not_waited_for),
        TEST(the_order_of_a_qemu_that_ends_in_the_window_counts),
        TEST(that_a_qemu_which_ended_left_no_order_is_told),
        TEST(a_qemu_without_mapped_ram_is_refused_before_the_stop),
        TEST(a_qemu_that_waits_for_a_guest_is_refused),
        TEST(a_guest_that_migrated_away_is_not_run_again),
        TEST(a_guest_stopped_by_a_save_that_was_killed_is_saved),
        TEST(a_guest_stopped_by_a_save_that_saved_nothing_runs_again),
        TEST(a_guest_paused_after_a_save_was_killed_stays_paused),
        TEST(settings_that_a_killed_save_left_are_not_taken_over),
        TEST(a_writable_disk_is_spoken_of),
        TEST(a_directory_that_is_missing_fails_before_the_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
