/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/migration-settings.h"

#include "util/error.h"

/* QEMU's own, which is meant for networks. */
#define DEFAULT_MAX_BANDWIDTH (INT64_C(128) << 20)

struct MigrationSettings {
    json_t *changed; /* the capabilities as they were, for setting back */
    json_int_t max_bandwidth;
};

static const struct {
    const char *name;
    bool on;
} needed[] = {
    {"mapped-ram", true},
    {"events", true},
    /* These make another kind of migration of it, or halt it half-way. */
    {"background-snapshot", false},
    {"pause-before-switchover", false},
    {"postcopy-ram", false},
    {"return-path", false},
    /* QEMU takes them only together with one of the two before. */
    {"postcopy-preempt", false},
    {"switchover-ack", false},
    {"x-ignore-shared", false},
    {"xbzrle", false},
};

static const json_t *find_capability(const json_t *list, const char *name)
{
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        const char *found =
            json_string_value(json_object_get(item, "capability"));

        if (g_strcmp0(found, name) == 0) {
            return item;
        }
    }
    return NULL;
}

static void append(json_t *list, const char *name, bool on)
{
    json_array_append_new(
        list, json_pack("{s:s, s:b}", "capability", name, "state", (int)on));
}

/* Of the capabilities in list, those that have to change: as they are, and as
 * they are to be. */
static void compare(const json_t *list, json_t *before, json_t *after)
{
    for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
        const json_t *item = find_capability(list, needed[i].name);
        bool on = json_is_true(json_object_get(item, "state"));

        if (item && on != needed[i].on) {
            append(before, needed[i].name, on);
            append(after, needed[i].name, !on);
        }
    }
}

static bool set_capabilities(Rpc *qmp, json_t *list, GError **error)
{
    return rpc_execute(qmp, "migrate-set-capabilities",
                       json_pack("{s:o}", "capabilities", list), NULL, error);
}

static bool change_capabilities(MigrationSettings *settings, Rpc *qmp,
                                bool cut_short, GError **error)
{
    json_t *list, *after;
    const json_t *mapped_ram;
    bool known;

    if (!rpc_execute(qmp, "query-migrate-capabilities", NULL, &list, error)) {
        return false;
    }
    mapped_ram = find_capability(list, "mapped-ram");
    known = mapped_ram != NULL;
    after = json_array();
    compare(list, settings->changed, after);
    if (cut_short && json_is_true(json_object_get(mapped_ram, "state"))) {
        append(settings->changed, "mapped-ram", false);
    }
    json_decref(list);
    if (!known) {
        json_decref(after);
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "this QEMU cannot write mapped-ram snapshots; it takes "
                    "QEMU 9.0 or later");
        return false;
    }
    return set_capabilities(qmp, after, error);
}

static bool set_max_bandwidth(Rpc *qmp, json_int_t value, GError **error)
{
    return rpc_execute(qmp, "migrate-set-parameters",
                       json_pack("{s:I}", "max-bandwidth", value), NULL, error);
}

/* 0 is no limit. */
static bool get_max_bandwidth(Rpc *qmp, json_int_t *ret_value, GError **error)
{
    json_t *parameters;

    if (!rpc_execute(qmp, "query-migrate-parameters", NULL, &parameters,
                     error)) {
        return false;
    }
    *ret_value =
        json_integer_value(json_object_get(parameters, "max-bandwidth"));
    json_decref(parameters);
    return true;
}

static bool change_bandwidth(MigrationSettings *settings, Rpc *qmp,
                             bool cut_short, GError **error)
{
    if (!get_max_bandwidth(qmp, &settings->max_bandwidth, error)) {
        return false;
    }
    if (cut_short && settings->max_bandwidth == 0) {
        settings->max_bandwidth = DEFAULT_MAX_BANDWIDTH;
    }
    return set_max_bandwidth(qmp, 0, error);
}

bool migration_settings_are_left(Rpc *qmp)
{
    json_int_t max_bandwidth;
    json_t *list;
    bool on;

    if (!get_max_bandwidth(qmp, &max_bandwidth, NULL) || max_bandwidth != 0 ||
        !rpc_execute(qmp, "query-migrate-capabilities", NULL, &list, NULL)) {
        return false;
    }
    on = json_is_true(
        json_object_get(find_capability(list, "mapped-ram"), "state"));
    json_decref(list);
    return on;
}

MigrationSettings *migration_settings_apply(Rpc *qmp, bool cut_short,
                                            GError **error)
{
    g_autoptr(MigrationSettings) settings = g_new0(MigrationSettings, 1);

    settings->changed = json_array();
    if (!change_capabilities(settings, qmp, cut_short, error)) {
        return NULL;
    }
    if (!change_bandwidth(settings, qmp, cut_short, error)) {
        set_capabilities(qmp, json_incref(settings->changed), NULL);
        return NULL;
    }
    return g_steal_pointer(&settings);
}

bool migration_settings_restore(const MigrationSettings *settings, Rpc *qmp,
                                GError **error)
{
    return set_max_bandwidth(qmp, settings->max_bandwidth, error) &&
           set_capabilities(qmp, json_incref(settings->changed), error);
}

void migration_settings_free(MigrationSettings *settings)
{
    if (settings) {
        json_decref(settings->changed);
        g_free(settings);
    }
}
