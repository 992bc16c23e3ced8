/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/migration.h"

#include <string.h>

#include "util/error.h"

/* The longest time between two looks at a migration; its events come at
 * once. */
#define POLL_MS 100

/* All of QEMU's, up to 11.1 (qapi/migration.json). */
static const struct {
    const char *name;
    MigrationState state;
} statuses[] = {
    {"none", MIGRATION_NONE},
    {"setup", MIGRATION_UNDER_WAY},
    {"cancelling", MIGRATION_UNDER_WAY},
    {"cancelled", MIGRATION_CANCELLED},
    {"active", MIGRATION_UNDER_WAY},
    {"postcopy-device", MIGRATION_UNDER_WAY},
    {"postcopy-active", MIGRATION_UNDER_WAY},
    {"postcopy-paused", MIGRATION_UNDER_WAY},
    {"postcopy-recover-setup", MIGRATION_UNDER_WAY},
    {"postcopy-recover", MIGRATION_UNDER_WAY},
    {"completed", MIGRATION_COMPLETED},
    {"failing", MIGRATION_UNDER_WAY},
    {"failed", MIGRATION_FAILED},
    {"colo", MIGRATION_UNDER_WAY},
    {"pre-switchover", MIGRATION_UNDER_WAY},
    {"device", MIGRATION_UNDER_WAY},
    {"wait-unplug", MIGRATION_UNDER_WAY},
};

MigrationState migration_state_from_status(const char *status)
{
    if (!status) {
        return MIGRATION_NONE;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++) {
        if (strcmp(status, statuses[i].name) == 0) {
            return statuses[i].state;
        }
    }
    return MIGRATION_UNDER_WAY;
}

bool migration_begin_outgoing(Machine *machine, const char *uri, GError **error)
{
    return rpc_execute(machine_qmp(machine), "migrate",
                       json_pack("{s:s}", "uri", uri), NULL, error);
}

bool migration_begin_incoming(Machine *machine, const char *uri, GError **error)
{
    json_t *arguments = json_pack("{s:s}", "uri", uri);

    if (machine_is_since(machine, 9, 1)) {
        json_object_set_new(arguments, "exit-on-error", json_false());
    }
    return rpc_execute(machine_qmp(machine), "migrate-incoming", arguments,
                       NULL, error);
}

static void tell_progress(const json_t *info, MigrationProgress *progress,
                          void *opaque)
{
    const json_t *ram = json_object_get(info, "ram");
    json_int_t total = json_integer_value(json_object_get(ram, "total"));
    json_int_t left = json_integer_value(json_object_get(ram, "remaining"));

    if (progress && total > 0 && left >= 0 && left <= total) {
        progress((uint64_t)(total - left), (uint64_t)total, opaque);
    }
}

/* One look. */
static bool look(Machine *machine, MigrationProgress *progress, void *opaque,
                 MigrationState *ret_state, char **ret_reason, GError **error)
{
    json_t *info;

    if (!rpc_execute(machine_qmp(machine), "query-migrate", NULL, &info,
                     error)) {
        return false;
    }
    *ret_state = migration_state_from_status(
        json_string_value(json_object_get(info, "status")));
    if (*ret_state == MIGRATION_UNDER_WAY) {
        tell_progress(info, progress, opaque);
    } else if (ret_reason) {
        *ret_reason =
            g_strdup(json_string_value(json_object_get(info, "error-desc")));
    }
    json_decref(info);
    return true;
}

bool migration_look(Machine *machine, MigrationState *ret_state, GError **error)
{
    return look(machine, NULL, NULL, ret_state, NULL, error);
}

bool migration_wait(Machine *machine, MigrationProgress *progress, void *opaque,
                    MigrationState *ret_state, char **ret_reason,
                    GError **error)
{
    MigrationState state;

    while (look(machine, progress, opaque, &state, ret_reason, error)) {
        if (state != MIGRATION_UNDER_WAY) {
            *ret_state = state;
            return true;
        }
        if (!machine_pump(machine, POLL_MS, error)) {
            return false;
        }
    }
    return false;
}

bool migration_complete(Machine *machine, MigrationProgress *progress,
                        void *opaque, GError **error)
{
    g_autofree char *told = NULL;
    const char *reason;
    MigrationState state;

    if (!migration_wait(machine, progress, opaque, &state, &told, error)) {
        return false;
    }
    if (state == MIGRATION_COMPLETED) {
        return true;
    }
    reason = told ? told : "see QEMU's own message";
    if (state == MIGRATION_CANCELLED) {
        reason = "it was cancelled";
    }
    g_set_error_literal(error, UTIL_ERROR, UTIL_ERROR_FAILED, reason);
    return false;
}

bool migration_cancel(Machine *machine, GError **error)
{
    MigrationState state;

    return rpc_execute(machine_qmp(machine), "migrate_cancel", NULL, NULL,
                       error) &&
           migration_wait(machine, NULL, NULL, &state, NULL, error);
}

bool migration_wait_finalized(Machine *machine, GError **error)
{
    for (;;) {
        g_autofree char *state = NULL;

        if (!qmp_run_state(machine_qmp(machine), &state, error)) {
            return false;
        }
        if (strcmp(state, "finish-migrate") != 0) {
            return true;
        }
        if (!machine_pump(machine, 1, error)) {
            return false;
        }
    }
}
