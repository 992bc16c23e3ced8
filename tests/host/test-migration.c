/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "host/migration.h"
#include "tests/host/fake-peer.h"

/* A QEMU whose migration has the next of statuses at each look. */
typedef struct World {
    Machine *machine;
    FakePeer *peer;
    const char *const *statuses; /* the last one stays */
    const char *error_desc;
    const char *const *run_states; /* the same of query-status */
    int interrupt_fd;
    bool interrupts; /* at the first look */
    json_t *begun;   /* what begin was given */
    uint64_t done_bytes;
    uint64_t total_bytes;
} World;

static json_t *next(const char *const **names)
{
    const char *name = **names;

    if ((*names)[1]) {
        (*names)++;
    }
    return name ? json_string(name) : NULL;
}

static json_t *query_migrate(World *world)
{
    json_t *status = next(&world->statuses);
    json_t *info =
        json_pack("{s:{s:i, s:i}}", "ram", "total", 100, "remaining", 40);

    if (world->interrupts) {
        eventfd_write(world->interrupt_fd, 1);
    }
    if (status) {
        json_object_set_new(info, "status", status);
    }
    if (world->error_desc) {
        json_object_set_new(info, "error-desc", json_string(world->error_desc));
    }
    return info;
}

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    World *world = opaque;

    if (g_str_equal(command, "query-migrate")) {
        return query_migrate(world);
    } else if (g_str_equal(command, "query-status")) {
        return json_pack("{s:o}", "status", next(&world->run_states));
    } else if (g_str_has_prefix(command, "migrate")) {
        json_decref(world->begun);
        world->begun = json_deep_copy(arguments);
    }
    return json_object();
}

static int set_up(void **state)
{
    static const char *const none[] = {NULL, NULL};
    World *world = g_new0(World, 1);
    Rpc *qmp;

    world->statuses = none;
    world->run_states = none;
    world->interrupt_fd = eventfd(0, EFD_CLOEXEC);
    qmp = fake_peer_connect_qmp(answer, world, &world->peer);
    rpc_set_interrupt_fd(qmp, world->interrupt_fd);
    world->machine = machine_new(qmp);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;

    machine_free(world->machine);
    fake_peer_free(world->peer);
    json_decref(world->begun);
    close(world->interrupt_fd);
    g_free(world);
    return 0;
}

static void note_progress(uint64_t done_bytes, uint64_t total_bytes,
                          void *opaque)
{
    World *world = opaque;

    world->done_bytes = done_bytes;
    world->total_bytes = total_bytes;
}

static void complete_badly(World *world, UtilError code, const char *text)
{
    GError *error = NULL;

    assert_false(migration_complete(world->machine, NULL, NULL, &error));
    assert_util_error(error, code, text);
}

static void every_status_of_qemus_is_known(void **state)
{
    static const struct {
        const char *status;
        MigrationState state;
    } known[] = {
        {NULL, MIGRATION_NONE},
        {"none", MIGRATION_NONE},
        {"setup", MIGRATION_UNDER_WAY},
        {"cancelling", MIGRATION_UNDER_WAY},
        {"cancelled", MIGRATION_CANCELLED},
        {"active", MIGRATION_UNDER_WAY},
        {"postcopy-active", MIGRATION_UNDER_WAY},
        {"postcopy-paused", MIGRATION_UNDER_WAY},
        {"postcopy-recover-setup", MIGRATION_UNDER_WAY},
        {"postcopy-recover", MIGRATION_UNDER_WAY},
        {"completed", MIGRATION_COMPLETED},
        {"failed", MIGRATION_FAILED},
        {"colo", MIGRATION_UNDER_WAY},
        {"pre-switchover", MIGRATION_UNDER_WAY},
        {"device", MIGRATION_UNDER_WAY},
        {"wait-unplug", MIGRATION_UNDER_WAY},
        {"what-no-qemu-says-yet", MIGRATION_UNDER_WAY},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        assert_int_equal(migration_state_from_status(known[i].status),
                         known[i].state);
    }
}

static void a_migration_is_waited_for_and_its_progress_told(void **state)
{
    static const char *const statuses[] = {"setup", "active", "device",
                                           "completed", NULL};
    World *world = *state;
    GError *error = NULL;

    world->statuses = statuses;
    migration_complete(world->machine, note_progress, world, &error);
    assert_no_error(error);
    assert_int_equal(world->done_bytes, 60);
    assert_int_equal(world->total_bytes, 100);
}

static void a_failure_is_told_with_qemus_reason(void **state)
{
    static const char *const statuses[] = {"active", "failed", NULL};
    World *world = *state;

    world->statuses = statuses;
    world->error_desc = "no space left";
    complete_badly(world, UTIL_ERROR_FAILED, "no space left");
}

static void a_failure_without_a_reason_is_one(void **state)
{
    static const char *const statuses[] = {"failed", NULL};
    World *world = *state;

    world->statuses = statuses;
    complete_badly(world, UTIL_ERROR_FAILED, "QEMU's own message");
}

static void one_that_somebody_cancelled_is_told_as_such(void **state)
{
    static const char *const statuses[] = {"cancelling", "cancelled", NULL};
    World *world = *state;

    world->statuses = statuses;
    complete_badly(world, UTIL_ERROR_FAILED, "it was cancelled");
}

static void one_that_never_began_is_not_waited_for(void **state)
{
    World *world = *state;
    MigrationState found;
    GError *error = NULL;

    migration_wait(world->machine, NULL, NULL, &found, NULL, &error);
    assert_no_error(error);
    assert_int_equal(found, MIGRATION_NONE);
}

static void waiting_ends_when_it_is_interrupted(void **state)
{
    static const char *const statuses[] = {"active", NULL};
    World *world = *state;

    world->statuses = statuses;
    world->interrupts = true;
    complete_badly(world, UTIL_ERROR_INTERRUPTED, "interrupted");
}

/* Of this one, the version is not known. */
static void an_incoming_one_asks_an_old_qemu_for_nothing_new(void **state)
{
    World *world = *state;
    GError *error = NULL;

    migration_begin_incoming(world->machine, "file:x", &error);
    assert_no_error(error);
    fake_peer_await(world->peer, "migrate-incoming", 1);
    assert_null(json_object_get(world->begun, "exit-on-error"));
    assert_string_equal(json_string_value(json_object_get(world->begun, "uri")),
                        "file:x");
}

static void qemu_is_given_time_to_finish_with_a_migration(void **state)
{
    static const char *const run_states[] = {"finish-migrate", "finish-migrate",
                                             "postmigrate", NULL};
    World *world = *state;
    GError *error = NULL;

    world->run_states = run_states;
    migration_wait_finalized(world->machine, &error);
    assert_no_error(error);
    assert_string_equal(*world->run_states, "postmigrate");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_of_qemus_is_known),
        TEST(a_migration_is_waited_for_and_its_progress_told),
        TEST(a_failure_is_told_with_qemus_reason),
        TEST(a_failure_without_a_reason_is_one),
        TEST(one_that_somebody_cancelled_is_told_as_such),
        TEST(one_that_never_began_is_not_waited_for),
        TEST(waiting_ends_when_it_is_interrupted),
        TEST(an_incoming_one_asks_an_old_qemu_for_nothing_new),
        TEST(qemu_is_given_time_to_finish_with_a_migration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
