/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/host/saver-world.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/qmp.h"
#include "tests/formats/image.h"

#define OLD_BANDWIDTH 134217728

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

GString *said;

static void say(const char *text)
{
    g_string_append(said, text);
}

int set_up(void **state)
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

int tear_down(void **state)
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

bool save(Fixture *fixture, SaveResult *ret_result, GError **error)
{
    const SaveOptions options = {
        .output = fixture->output,
        .profile = fixture->profile,
        .interrupt_fd = fixture->interrupt_fd,
        .say = say,
    };

    return saver_run(fixture->qmp, &options, ret_result, error);
}

SaveResult save_well(Fixture *fixture)
{
    SaveResult result;
    GError *error = NULL;

    save(fixture, &result, &error);
    assert_no_error(error);
    return result;
}

void save_badly(Fixture *fixture, UtilError code, const char *text)
{
    SaveResult result;
    GError *error = NULL;

    assert_false(save(fixture, &result, &error));
    assert_util_error(error, code, text);
}

bool log_has(Fixture *fixture, const char *commands)
{
    g_autofree char *log = fake_peer_log(fixture->peer);

    return strstr(log, commands) != NULL;
}

void assert_last_command(Fixture *fixture, const char *command)
{
    g_autofree char *log = fake_peer_log(fixture->peer);

    assert_true(g_str_has_suffix(g_strchomp(log), command));
}

void assert_files(Fixture *fixture, const char *names)
{
    g_autofree char *found = list_directory(fixture->directory);

    assert_string_equal(found, names);
}

void put_old_file(Fixture *fixture, const char *name)
{
    g_autofree char *path = g_build_filename(fixture->directory, name, NULL);

    assert_true(g_file_set_contents(path, "old", 3, NULL));
}

void assert_settings_are_back(Fixture *fixture)
{
    assert_false(fixture->machine.mapped_ram);
    assert_int_equal(fixture->machine.max_bandwidth, OLD_BANDWIDTH);
}
