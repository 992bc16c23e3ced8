/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/util/support.h"

#include <string.h>

#include "host/migration-settings.h"
#include "host/qmp.h"
#include "tests/host/fake-peer.h"

/* The fake QEMU; its thread's alone while it runs. */
typedef struct FakeQemu {
    json_t *capabilities; /* name: whether it is on */
    json_t *parameters;
    bool refuses_capabilities;
} FakeQemu;

typedef struct Fixture {
    FakeQemu qemu;
    FakePeer *peer;
    Rpc *qmp;
} Fixture;

static json_t *list_capabilities(const FakeQemu *qemu)
{
    json_t *list = json_array();
    const char *name;
    json_t *on;

    json_object_foreach(qemu->capabilities, name, on)
    {
        json_array_append_new(
            list, json_pack("{s:s, s:O}", "capability", name, "state", on));
    }
    return list;
}

static void set_capabilities(FakeQemu *qemu, const json_t *arguments)
{
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(arguments, "capabilities"), i, item)
    {
        json_object_set(qemu->capabilities,
                        json_string_value(json_object_get(item, "capability")),
                        json_object_get(item, "state"));
    }
}

static json_t *answer(FakePeer *peer, const char *command,
                      const json_t *arguments, const char **ret_refusal,
                      void *opaque)
{
    FakeQemu *qemu = opaque;

    if (g_str_equal(command, "query-migrate-capabilities")) {
        return list_capabilities(qemu);
    } else if (g_str_equal(command, "query-migrate-parameters")) {
        return json_deep_copy(qemu->parameters);
    } else if (g_str_equal(command, "migrate-set-parameters")) {
        json_object_update(qemu->parameters, (json_t *)arguments);
    } else if (qemu->refuses_capabilities) {
        *ret_refusal = "not now";
        return NULL;
    } else {
        set_capabilities(qemu, arguments);
    }
    return json_object();
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    json_t *greeting;
    int fd;

    fixture->qemu.capabilities =
        json_pack("{s:b, s:b, s:b, s:b, s:b}", "mapped-ram", 0, "events", 0,
                  "xbzrle", 0, "background-snapshot", 0, "multifd", 1);
    fixture->qemu.parameters =
        json_pack("{s:i, s:s, s:b, s:i}", "max-bandwidth", 1000, "mode",
                  "normal", "direct-io", 0, "downtime-limit", 300);
    fixture->peer = fake_peer_new_qmp(answer, &fixture->qemu, &fd);
    fixture->qmp = qmp_new(fd);
    assert_true(rpc_greeting(fixture->qmp, "QMP", -1, &greeting, NULL));
    json_decref(greeting);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    rpc_free(fixture->qmp);
    fake_peer_free(fixture->peer);
    json_decref(fixture->qemu.capabilities);
    json_decref(fixture->qemu.parameters);
    g_free(fixture);
    return 0;
}

static MigrationSettings *plan(Fixture *fixture, MigrationUse use)
{
    GError *error = NULL;
    MigrationSettings *settings =
        migration_settings_new(fixture->qmp, use, &error);

    assert_no_error(error);
    return settings;
}

static void apply(Fixture *fixture, const MigrationSettings *settings)
{
    GError *error = NULL;

    migration_settings_apply(settings, fixture->qmp, &error);
    assert_no_error(error);
}

static void restore(Fixture *fixture, const MigrationSettings *settings)
{
    GError *error = NULL;

    migration_settings_restore(settings, fixture->qmp, &error);
    assert_no_error(error);
}

static bool is_on(const Fixture *fixture, const char *name)
{
    return json_is_true(json_object_get(fixture->qemu.capabilities, name));
}

static void set(Fixture *fixture, const char *capability)
{
    json_object_set_new(fixture->qemu.capabilities, capability, json_true());
}

static json_int_t max_bandwidth(const Fixture *fixture)
{
    return json_integer_value(
        json_object_get(fixture->qemu.parameters, "max-bandwidth"));
}

static void what_was_set_comes_back_exactly(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(MigrationSettings) settings = NULL;

    set(fixture, "xbzrle");
    json_object_set_new(fixture->qemu.parameters, "direct-io", json_true());
    json_t *capabilities = json_deep_copy(fixture->qemu.capabilities);
    json_t *parameters = json_deep_copy(fixture->qemu.parameters);
    settings = plan(fixture, MIGRATION_TO_FILE);
    apply(fixture, settings);
    assert_true(is_on(fixture, "mapped-ram"));
    assert_true(is_on(fixture, "events"));
    assert_false(is_on(fixture, "xbzrle"));
    assert_int_equal(max_bandwidth(fixture), 0);
    assert_true(
        json_is_false(json_object_get(fixture->qemu.parameters, "direct-io")));
    restore(fixture, settings);
    assert_true(json_equal(fixture->qemu.capabilities, capabilities));
    assert_true(json_equal(fixture->qemu.parameters, parameters));
    json_decref(capabilities);
    json_decref(parameters);
}

static void what_need_not_change_is_left_alone(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(MigrationSettings) settings = plan(fixture, MIGRATION_TO_FILE);
    g_autoptr(MigrationSettings) again = NULL;

    assert_false(migration_settings_are_set(settings));
    apply(fixture, settings);
    again = plan(fixture, MIGRATION_TO_FILE);
    assert_true(migration_settings_are_set(again));
    assert_true(is_on(fixture, "multifd"));
}

/* While guest RAM is loaded lazily it could not be set back. */
static void a_load_leaves_background_snapshots_alone(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(MigrationSettings) load = NULL;
    g_autoptr(MigrationSettings) save = NULL;

    set(fixture, "background-snapshot");
    load = plan(fixture, MIGRATION_FROM_FILE);
    apply(fixture, load);
    assert_true(is_on(fixture, "mapped-ram"));
    assert_true(is_on(fixture, "background-snapshot"));
    assert_int_equal(max_bandwidth(fixture), 1000);
    save = plan(fixture, MIGRATION_TO_FILE);
    apply(fixture, save);
    assert_false(is_on(fixture, "background-snapshot"));
}

static void what_cannot_be_set_changes_nothing(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(MigrationSettings) settings = plan(fixture, MIGRATION_TO_FILE);
    GError *error = NULL;

    fixture->qemu.refuses_capabilities = true;
    assert_false(migration_settings_apply(settings, fixture->qmp, &error));
    assert_util_error(error, UTIL_ERROR_REFUSED, "not now");
    assert_int_equal(max_bandwidth(fixture), 1000);
}

/* Which QEMU checks against the parameters. */
static void mapped_ram_is_on_only_between_the_parameters(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(MigrationSettings) settings = plan(fixture, MIGRATION_TO_FILE);
    g_autofree char *log = NULL;

    apply(fixture, settings);
    restore(fixture, settings);
    log = fake_peer_log(fixture->peer);
    assert_true(g_str_has_suffix(
        log, "migrate-set-parameters migrate-set-capabilities "
             "migrate-set-capabilities migrate-set-parameters"));
}

static void a_later_process_can_set_them_back(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(MigrationSettings) settings = plan(fixture, MIGRATION_TO_FILE);
    g_autoptr(MigrationSettings) later = NULL;
    json_t *json = migration_settings_to_json(settings);

    apply(fixture, settings);
    later = migration_settings_from_json(json);
    json_decref(json);
    assert_non_null(later);
    restore(fixture, later);
    assert_false(is_on(fixture, "mapped-ram"));
    assert_int_equal(max_bandwidth(fixture), 1000);
}

static void what_is_no_such_json_is_nothing(void **state)
{
    json_t *json =
        json_pack("{s:s, s:{}}", "capabilities", "no list", "parameters");

    assert_null(migration_settings_from_json(json));
    assert_null(migration_settings_from_json(NULL));
    json_decref(json);
}

static void a_qemu_without_mapped_ram_is_told_of(void **state)
{
    Fixture *fixture = *state;
    GError *error = NULL;

    json_object_del(fixture->qemu.capabilities, "mapped-ram");
    assert_null(
        migration_settings_new(fixture->qmp, MIGRATION_FROM_FILE, &error));
    assert_util_error(error, UTIL_ERROR_FAILED, "9.0 or later");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_set_comes_back_exactly),
        TEST(what_need_not_change_is_left_alone),
        TEST(a_load_leaves_background_snapshots_alone),
        TEST(what_cannot_be_set_changes_nothing),
        TEST(mapped_ram_is_on_only_between_the_parameters),
        TEST(a_later_process_can_set_them_back),
        TEST(what_is_no_such_json_is_nothing),
        TEST(a_qemu_without_mapped_ram_is_told_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
