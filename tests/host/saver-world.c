/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/host/saver-world.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "formats/run-state.h"
#include "host/qmp.h"
#include "tests/formats/image.h"

#define OLD_BANDWIDTH 134217728

/* ---- the fake's commands ---- */

static json_t *list_capabilities(const FakeQemu *qemu)
{
    json_t *list =
        json_pack("[{s:s, s:b}, {s:s, s:b}]", "capability", "events", "state",
                  1, "capability", "x-ignore-shared", "state", 0);

    if (qemu->has_mapped_ram) {
        json_array_append_new(list, json_pack("{s:s, s:b}", "capability",
                                              "mapped-ram", "state",
                                              (int)qemu->mapped_ram));
    }
    return list;
}

static void set_capabilities(FakeQemu *qemu, const json_t *arguments)
{
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(arguments, "capabilities"), i, item)
    {
        const char *name =
            json_string_value(json_object_get(item, "capability"));

        assert_string_equal(name, "mapped-ram");
        qemu->mapped_ram = json_is_true(json_object_get(item, "state"));
    }
}

/* The section of the device state that has the run state. */
static void append_run_state(GByteArray *bytes, const FakeQemu *qemu)
{
    static const char head[] = "\4\0\0\0\1\013globalstate\0\0\0\0\0\0\0\1";
    uint8_t state[RUN_STATE_ENCODED_BYTES];
    uint8_t flags[68] = {1, qemu->was_suspended};

    run_state_encode(qemu->run_state, state);
    g_byte_array_append(bytes, (const guint8 *)head, sizeof head - 1);
    g_byte_array_append(bytes, state, sizeof state);
    g_byte_array_append(bytes, flags, sizeof flags);
}

static void write_bytes(FakePeer *peer, const FakeQemu *qemu, const void *bytes,
                        size_t len)
{
    int fd = fake_peer_fd(peer, qemu->n_fds - 1);

    /* As QEMU opens it, and asks of the descriptor.  What it writes goes to
     * the descriptor's position. */
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(write(fd, bytes, len), len);
}

static void write_image(FakePeer *peer, const FakeQemu *qemu)
{
    const Image image = image_small();
    g_autoptr(GByteArray) bytes = g_bytes_unref_to_array(image_bytes(&image));

    append_run_state(bytes, qemu);
    write_bytes(peer, qemu, bytes->data, bytes->len);
}

static json_t *save_devices(FakePeer *peer, const FakeQemu *qemu,
                            const json_t *arguments)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    g_autofree char *path =
        g_strdup_printf("/dev/fdset/%d", (int)qemu->fdset_id);

    assert_string_equal(
        json_string_value(json_object_get(arguments, "filename")), path);
    assert_true(json_is_false(json_object_get(arguments, "live")));
    append_run_state(bytes, qemu);
    write_bytes(peer, qemu, bytes->data, bytes->len);
    return json_object();
}

static json_t *migrate(FakePeer *peer, FakeQemu *qemu, const json_t *arguments,
                       const char **ret_refusal)
{
    g_autofree char *uri =
        g_strdup_printf("file:/dev/fdset/%d,offset=0", (int)qemu->fdset_id);

    if (qemu->overtaken) {
        *ret_refusal = "There's a migration process in progress";
        qemu->run_state = qemu->overtaken;
        qemu->migration = "active";
        return NULL;
    }
    assert_true(qemu->mapped_ram);
    assert_int_equal(qemu->max_bandwidth, 0);
    assert_non_null(qemu->opaque);
    assert_string_equal(json_string_value(json_object_get(arguments, "uri")),
                        uri);
    if (qemu->writes_garbage) {
        write_bytes(peer, qemu, "garbage", 7);
    } else {
        write_image(peer, qemu);
    }
    if (qemu->writes_disk) {
        assert_true(g_file_set_contents(qemu->disk_file, "kept", 4, NULL));
    }
    qemu->migration = "active";
    return json_object();
}

static json_t *add_fd(FakeQemu *qemu, const json_t *arguments,
                      const char **ret_refusal)
{
    if (qemu->takes_no_fd) {
        *ret_refusal = "No file descriptor supplied via SCM_RIGHTS";
        return NULL;
    }
    qemu->n_fds++;
    g_free(qemu->opaque);
    qemu->opaque =
        g_strdup(json_string_value(json_object_get(arguments, "opaque")));
    qemu->fdset_id++;
    return json_pack("{s:I, s:i}", "fdset-id", qemu->fdset_id, "fd", 30);
}

static json_t *query_fdsets(const FakeQemu *qemu)
{
    return qemu->opaque ? json_pack("[{s:i, s:[{s:i}]}, {s:I, s:[{s:i, s:s}]}]",
                                    "fdset-id", 0, "fds", "fd", 29, "fdset-id",
                                    qemu->fdset_id, "fds", "fd", 30, "opaque",
                                    qemu->opaque)
                        : json_array();
}

/* That of the killed save is another one when ours has come. */
static json_t *remove_fd(FakeQemu *qemu, const json_t *arguments)
{
    if (json_integer_value(json_object_get(arguments, "fdset-id")) ==
        qemu->fdset_id) {
        g_clear_pointer(&qemu->opaque, g_free);
    }
    return json_object();
}

static json_t *stop(FakePeer *peer, FakeQemu *qemu)
{
    if (qemu->falls_asleep) {
        fake_peer_event(peer, "SUSPEND", NULL);
    }
    qemu->run_state = "paused";
    return json_object();
}

static void go_on(FakePeer *peer, FakeQemu *qemu)
{
    if (g_strcmp0(qemu->migration, "active") != 0) {
        return;
    }
    if (qemu->polls_left > 0) {
        qemu->polls_left--;
        return;
    }
    qemu->migration = qemu->outcome;
    if (strcmp(qemu->outcome, "completed") == 0) {
        qemu->run_state = "finish-migrate";
    }
}

static json_t *query_migrate(FakePeer *peer, FakeQemu *qemu)
{
    bool ours = qemu->mapped_ram;

    if (ours && qemu->hangs_up_on_poll) {
        fake_peer_close(peer);
    }
    if (ours && qemu->ends_on_poll) {
        fake_peer_event(peer, "SHUTDOWN",
                        json_pack("{s:s}", "reason", "host-signal"));
        qemu->has_said_so = true;
    }
    if (ours && qemu->interrupt_on_poll >= 0) {
        eventfd_write(qemu->interrupt_on_poll, 1);
    } else {
        go_on(peer, qemu);
    }
    if (!qemu->migration) {
        return json_object();
    }
    return json_pack("{s:s, s:s, s:{s:i, s:i}}", "status", qemu->migration,
                     "error-desc", "disk full", "ram", "total", 100,
                     "remaining", 50);
}

static json_t *query_status(FakeQemu *qemu)
{
    const char *run_state = qemu->run_state;

    if (strcmp(run_state, "finish-migrate") == 0 &&
        qemu->finalize_polls_left-- == 0) {
        qemu->run_state = "postmigrate";
        qemu->finalize_polls_left = 0;
    }
    return json_pack("{s:s}", "status", run_state);
}

static json_t *query_block(const FakeQemu *qemu)
{
    return json_pack(
        "[{s:s, s:{s:s, s:s, s:s, s:b}}]", "device", "disk0", "inserted",
        "file", qemu->disk_file ? qemu->disk_file : "/dev/null", "node-name",
        "node0", "drv", "qcow2", "ro", (int)!qemu->writable_disk);
}

static void interrupt(const FakeQemu *qemu, const char *command)
{
    if (g_strcmp0(command, qemu->interrupted) != 0) {
        return;
    }
    eventfd_write(qemu->interrupt_fd, (eventfd_t)qemu->n_interrupts);
    if (qemu->blocked) {
        g_mutex_lock(qemu->blocked);
        g_mutex_unlock(qemu->blocked);
    }
}

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    FakeQemu *qemu = opaque;

    qemu->told_late |= qemu->has_said_so;
    interrupt(qemu, command);
    if (g_str_equal(command, "query-migrate")) {
        return query_migrate(peer, qemu);
    } else if (g_str_equal(command, "query-status")) {
        return query_status(qemu);
    } else if (g_str_equal(command, "query-block")) {
        return query_block(qemu);
    } else if (g_str_equal(command, "query-migrate-capabilities")) {
        return list_capabilities(qemu);
    } else if (g_str_equal(command, "query-migrate-parameters")) {
        return json_pack("{s:I}", "max-bandwidth", qemu->max_bandwidth);
    } else if (g_str_equal(command, "migrate")) {
        return migrate(peer, qemu, arguments, ret_refusal);
    } else if (g_str_equal(command, "add-fd")) {
        return add_fd(qemu, arguments, ret_refusal);
    } else if (g_str_equal(command, "query-fdsets")) {
        return query_fdsets(qemu);
    } else if (g_str_equal(command, "remove-fd")) {
        return remove_fd(qemu, arguments);
    } else if (g_str_equal(command, "xen-save-devices-state")) {
        return save_devices(peer, qemu, arguments);
    } else if (g_str_equal(command, "migrate-set-capabilities")) {
        set_capabilities(qemu, arguments);
    } else if (g_str_equal(command, "migrate-set-parameters")) {
        qemu->max_bandwidth =
            json_integer_value(json_object_get(arguments, "max-bandwidth"));
    } else if (g_str_equal(command, "migrate_cancel")) {
        qemu->interrupt_on_poll = -1;
        qemu->outcome = "cancelled";
    } else if (g_str_equal(command, "stop")) {
        return stop(peer, qemu);
    } else if (g_str_equal(command, "cont")) {
        if (strcmp(qemu->run_state, "finish-migrate") == 0) {
            *ret_refusal = "Migration is not finalized yet";
            return NULL;
        }
        qemu->run_state = "running";
    } else if (g_str_equal(command, "query-cpus-fast")) {
        return json_array();
    } else if (g_str_equal(command, "qom-get")) {
        return json_string("pc-q35-10.0-machine");
    } else if (qemu->lacks_vmgenid &&
               g_str_equal(command, "query-vm-generation-id")) {
        *ret_refusal = "VM Generation ID device not found";
        return NULL;
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
    Rpc *qmp;
    int fd;

    fixture->directory = make_directory();
    fixture->output = g_build_filename(fixture->directory, "vm.snap", NULL);
    fixture->load_state = "idle";
    fixture->qemu = (FakeQemu){
        .run_state = "running",
        .has_mapped_ram = true,
        .max_bandwidth = OLD_BANDWIDTH,
        .polls_left = 1,
        .outcome = "completed",
        .interrupt_on_poll = -1,
    };
    fixture->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    fixture->qemu.interrupt_fd = fixture->interrupt_fd;
    fixture->progress = g_string_new(NULL);
    fixture->peer = fake_peer_new_qmp(answer, &fixture->qemu, &fd);
    qmp = qmp_new(fd);
    assert_true(rpc_greeting(qmp, "QMP", -1, &greeting, NULL));
    json_decref(greeting);
    fixture->machine = machine_new(qmp);
    said = g_string_new(NULL);
    *state = fixture;
    return 0;
}

int tear_down(void **state)
{
    Fixture *fixture = *state;

    machine_free(fixture->machine);
    if (fixture->peer) {
        fake_peer_free(fixture->peer);
    }
    close(fixture->interrupt_fd);
    g_free(fixture->qemu.opaque);
    g_string_free(fixture->progress, TRUE);
    g_free(fixture->told_before_window);
    g_free(fixture->state_before_window);
    g_free(fixture->output);
    remove_directory(fixture->directory);
    g_free(fixture);
    g_string_free(said, TRUE);
    return 0;
}

static void show(const ProgressState *state, void *opaque)
{
    GString *text = opaque;

    if (state) {
        g_string_append_printf(text, "%s %d/%d, ", state->what,
                               (int)state->done_bytes, (int)state->total_bytes);
    } else {
        g_string_append(text, "over, ");
    }
}

bool save(Fixture *fixture, SaveResult *ret_result, GError **error)
{
    const Progress progress = {show, fixture->progress};
    const SaveOptions options = {
        .output = fixture->output,
        .disks = fixture->disks,
        .profile = fixture->profile,
        .interrupt_fd = fixture->interrupt_fd,
        .say = say,
        .progress = &progress,
    };

    return saver_run(fixture->machine, &options, ret_result, error);
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
    assert_false(fixture->qemu.mapped_ram);
    assert_int_equal(fixture->qemu.max_bandwidth, OLD_BANDWIDTH);
}

void put_what_a_killed_save_leaves(Fixture *fixture, bool was_running)
{
    FakeQemu *qemu = &fixture->qemu;

    put_old_file(fixture, "vm.snap.preheat-tmp");
    qemu->mapped_ram = true;
    qemu->max_bandwidth = 0;
    qemu->fdset_id = 7;
    qemu->opaque = g_strdup_printf(
        "preheat-savevm {\"running\": %s, \"settings\": {\"capabilities\": "
        "[{\"capability\": \"mapped-ram\", \"state\": false}], "
        "\"parameters\": {\"max-bandwidth\": %d}}}",
        was_running ? "true" : "false", OLD_BANDWIDTH);
}

char *run_state_in(int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *bytes = NULL;
    RunState state;
    gsize len;

    assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    assert_true(run_state_find((uint8_t *)bytes, len, &state));
    return g_strdup(state.name);
}

char *saved_run_state(const Fixture *fixture)
{
    int fd = open(fixture->output, O_RDONLY | O_CLOEXEC);
    char *name = run_state_in(fd);

    close(fd);
    return name;
}
