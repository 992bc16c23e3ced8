/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Leaving a QEMU that goes on, while its guest stands still for a missing
 * page.  The rest of read errors is tested by whole loads.
 */
#include "tests/util/support.h"

#include <string.h>

#include "formats/control-protocol.h"
#include "host/read-errors.h"
#include "tests/host/fake-peer.h"

typedef struct World {
    FakePeer *peer;
    Machine *machine;
    ReadErrors *errors;
} World;

static void say(const char *text)
{
    assert_true(strlen(text) > 0);
}

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    return json_object();
}

/* A guest that runs, after a load that was handed over. */
static int set_up(void **state)
{
    World *world = g_new0(World, 1);
    Rpc *qmp;

    qmp = fake_peer_connect_qmp(answer, world, &world->peer);
    world->machine = machine_new(qmp);
    fake_peer_event(world->peer, "RESUME", NULL);
    while (!machine_runs(world->machine)) {
        assert_true(rpc_pump(qmp, -1, NULL));
    }
    world->errors = read_errors_new(world->machine, say, NULL);
    read_errors_announce(world->errors);
    read_errors_set_handed_over(world->errors);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;

    read_errors_free(world->errors);
    machine_free(world->machine);
    fake_peer_free(world->peer);
    g_free(world);
    return 0;
}

static void miss_page(World *world, const char *operation)
{
    json_t *data = json_pack(
        "{s:s, s:i, s:s, s:s, s:b}", CONTROL_KEY_FILE, "vm.snap",
        CONTROL_KEY_OFFSET, 4096, CONTROL_KEY_OPERATION, operation,
        CONTROL_KEY_ERROR, "Input/output error", CONTROL_KEY_WAITED_FOR, 1);

    read_errors_take_event(world->errors, CONTROL_EVENT_READ_ERROR, data);
    json_decref(data);
    read_errors_attend(world->errors);
}

/* What QEMU has carried out by the time that we have left. */
static void assert_left(World *world, const char *log)
{
    g_autofree char *carried_out = NULL;

    read_errors_let_go(world->errors);
    carried_out = fake_peer_log(world->peer);
    assert_string_equal(carried_out, log);
}

static void a_guest_that_stands_still_for_us_goes_on_when_we_leave(void **state)
{
    World *world = *state;

    miss_page(world, "reading");
    assert_left(world, "qmp_capabilities stop cont query-status");
}

static void a_guest_that_we_never_stopped_is_left_alone(void **state)
{
    assert_left(*state, "qmp_capabilities");
}

static void a_guest_of_a_changed_snapshot_stays_stopped(void **state)
{
    World *world = *state;
    g_autofree char *log = NULL;

    miss_page(world, CONTROL_OPERATION_CHECKING);
    fake_peer_await(world->peer, "stop", 1);
    read_errors_let_go(world->errors);
    log = fake_peer_log(world->peer);
    assert_null(strstr(log, "cont"));
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_guest_that_stands_still_for_us_goes_on_when_we_leave),
        TEST(a_guest_that_we_never_stopped_is_left_alone),
        TEST(a_guest_of_a_changed_snapshot_stays_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
