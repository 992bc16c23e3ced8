/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <string.h>
#include <sys/socket.h>

#include "host/profiling.h"
#include "host/qmp.h"
#include "tests/host/fake-peer.h"

/* The fake QEMU; its thread's alone while it runs. */
typedef struct Machine {
    const char *type;
    bool refuses; /* all that a window can do without */
    bool read_option_roms;
    json_int_t rounds; /* of announcing */
} Machine;

typedef struct Fixture {
    Machine machine;
    FakePeer *qemu;
    FakePeer *plugin;
    Rpc *qmp;
    Profiling *profiling;
} Fixture;

static json_t *pmemsave(Machine *machine, const json_t *arguments)
{
    json_int_t address = json_integer_value(json_object_get(arguments, "val"));
    json_int_t size = json_integer_value(json_object_get(arguments, "size"));

    assert_string_equal(
        json_string_value(json_object_get(arguments, "filename")), "/dev/null");
    machine->read_option_roms = address == 0xc0000 && size == 0x20000;
    return json_object();
}

static json_t *answer_qmp(FakePeer *peer, const char *command,
                          const json_t *arguments, const char **ret_refusal,
                          void *opaque)
{
    Machine *machine = opaque;

    if (g_str_equal(command, "query-cpus-fast")) {
        return json_array();
    } else if (g_str_equal(command, "human-monitor-command")) {
        return json_string("  Block Name    PSize  Offset  Used  Total\n");
    } else if (machine->refuses) {
        *ret_refusal = "no";
        return NULL;
    } else if (g_str_equal(command, "qom-get")) {
        return json_string(machine->type);
    } else if (g_str_equal(command, "pmemsave")) {
        return pmemsave(machine, arguments);
    } else if (g_str_equal(command, "announce-self")) {
        machine->rounds =
            json_integer_value(json_object_get(arguments, "rounds"));
    }
    return json_object();
}

static json_t *answer_control(FakePeer *peer, const char *command,
                              const json_t *arguments, const char **ret_refusal,
                              void *opaque)
{
    return json_object();
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    json_t *greeting;
    int fd;

    fixture->machine.type = "pc-i440fx-10.0-machine";
    fixture->qemu = fake_peer_new_qmp(answer_qmp, &fixture->machine, &fd);
    fixture->qmp = qmp_new(fd);
    assert_true(rpc_greeting(fixture->qmp, "QMP", -1, &greeting, NULL));
    json_decref(greeting);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    profiling_free(fixture->profiling);
    rpc_free(fixture->qmp);
    fake_peer_free(fixture->qemu);
    fake_peer_free(fixture->plugin);
    g_free(fixture);
    return 0;
}

static void act_loaded(Fixture *fixture)
{
    const ProfileTime time = {.max_ms = 1000};
    GError *error = NULL;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fixture->plugin = fake_peer_new(fds[1], NULL, answer_control, NULL);
    fixture->profiling =
        profiling_new(fixture->qmp, rpc_new(fds[0], 1 << 20, "the plugin"),
                      &time, "/vm.snap", &error);
    assert_no_error(error);
    profiling_act_loaded(fixture->profiling);
}

static void assert_time(const char *text, ProfileTime expected)
{
    GError *error = NULL;
    ProfileTime time;

    assert_true(profile_time_parse(text, &time, &error));
    assert_no_error(error);
    assert_int_equal(time.settle, expected.settle);
    assert_int_equal(time.min_ms, expected.min_ms);
    assert_int_equal(time.max_ms, expected.max_ms);
}

static void a_time_is_seconds_or_until_touches_settle(void **state)
{
    assert_time(NULL, (ProfileTime){true, PROFILE_MIN_MS, PROFILE_MAX_MS});
    assert_time("10", (ProfileTime){false, 0, 10000});
    assert_time("0.25", (ProfileTime){false, 0, 250});
}

static void a_time_that_is_none_is_refused(void **state)
{
    static const char *const wrong[] = {"", "0", "-1", "nan", "3601", "10s"};

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        GError *error = NULL;
        ProfileTime time;

        assert_false(profile_time_parse(wrong[i], &time, &error));
        assert_util_error(error, UTIL_ERROR_USAGE, "number of seconds");
    }
}

static void a_pc_reads_its_option_roms_and_is_announced(void **state)
{
    Fixture *fixture = *state;

    act_loaded(fixture);
    assert_true(fixture->machine.read_option_roms);
    assert_int_equal(fixture->machine.rounds, 5);
}

static void another_machine_is_announced_only(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.type = "virt-10.0-machine";
    act_loaded(fixture);
    assert_false(fixture->machine.read_option_roms);
    assert_int_equal(fixture->machine.rounds, 5);
}

static void a_qemu_that_refuses_it_is_profiled_without(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *log = NULL;

    fixture->machine.refuses = true;
    act_loaded(fixture);
    log = fake_peer_log(fixture->qemu);
    assert_non_null(strstr(log, "announce-self"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_seconds_or_until_touches_settle),
        cmocka_unit_test(a_time_that_is_none_is_refused),
        TEST(a_pc_reads_its_option_roms_and_is_announced),
        TEST(another_machine_is_announced_only),
        TEST(a_qemu_that_refuses_it_is_profiled_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
