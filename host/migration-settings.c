/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/migration-settings.h"

#include "util/error.h"

#define BOTH (MIGRATION_TO_FILE | MIGRATION_FROM_FILE)

/* Each a list of what migrate-set-capabilities takes, or an object of what
 * migrate-set-parameters takes. */
struct MigrationSettings {
    json_t *capabilities_before;
    json_t *capabilities_after; /* NULL: can only be restored */
    json_t *parameters_before;
    json_t *parameters_after; /* NULL likewise */
};

static const struct {
    const char *name;
    bool on;
    int uses;
} capabilities[] = {
    {"mapped-ram", true, BOTH},
    {"events", true, BOTH},
    /* QEMU does not take these together with mapped-ram, or they make another
     * kind of migration or another stream of it, or halt it half-way. */
    {"xbzrle", false, BOTH},
    {"postcopy-ram", false, BOTH},
    {"return-path", false, BOTH},
    {"x-ignore-shared", false, BOTH},
    {"x-colo", false, BOTH},
    {"zero-copy-send", false, BOTH},
    {"pause-before-switchover", false, BOTH},
    /* QEMU takes these only together with one of those above. */
    {"postcopy-preempt", false, BOTH},
    {"switchover-ack", false, BOTH},
    /* This one could not be set back while guest RAM is loaded lazily, and
     * means nothing to a load. */
    {"background-snapshot", false, MIGRATION_TO_FILE},
};

static const struct {
    const char *name;
    const char *value; /* JSON */
    int uses;
} parameters[] = {
    /* QEMU's own limit is meant for networks. */
    {"max-bandwidth", "0", MIGRATION_TO_FILE},
    {"mode", "\"normal\"", MIGRATION_TO_FILE},
    /* QEMU does not take these together with mapped-ram. */
    {"multifd-compression", "\"none\"", BOTH},
    {"tls-creds", "\"\"", BOTH},
    /* Would take a second descriptor of the file. */
    {"direct-io", "false", BOTH},
};

/* Whether the capability called name is on; false where QEMU lacks it. */
static bool find_capability(const json_t *list, const char *name, bool *ret_on)
{
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        const char *found =
            json_string_value(json_object_get(item, "capability"));

        if (g_strcmp0(found, name) == 0) {
            *ret_on = json_is_true(json_object_get(item, "state"));
            return true;
        }
    }
    return false;
}

static void append(json_t *list, const char *name, bool on)
{
    json_array_append_new(
        list, json_pack("{s:s, s:b}", "capability", name, "state", (int)on));
}

static bool plan_capabilities(MigrationSettings *settings, Rpc *qmp,
                              MigrationUse use, GError **error)
{
    json_t *list;
    bool on;

    if (!rpc_execute(qmp, "query-migrate-capabilities", NULL, &list, error)) {
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(capabilities); i++) {
        if ((capabilities[i].uses & use) &&
            find_capability(list, capabilities[i].name, &on) &&
            on != capabilities[i].on) {
            append(settings->capabilities_before, capabilities[i].name, on);
            append(settings->capabilities_after, capabilities[i].name, !on);
        }
    }
    if (!find_capability(list, "mapped-ram", &on)) {
        json_decref(list);
        g_set_error(error, UTIL_ERROR, UTIL_ERROR_FAILED,
                    "this QEMU does not have mapped-ram snapshots; use QEMU "
                    "9.0 or later");
        return false;
    }
    json_decref(list);
    return true;
}

static bool plan_parameters(MigrationSettings *settings, Rpc *qmp,
                            MigrationUse use, GError **error)
{
    json_t *now;

    if (!rpc_execute(qmp, "query-migrate-parameters", NULL, &now, error)) {
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(parameters); i++) {
        const char *name = parameters[i].name;
        json_t *before = json_object_get(now, name);
        json_t *after = json_loads(parameters[i].value, JSON_DECODE_ANY, NULL);

        if ((parameters[i].uses & use) && before &&
            !json_equal(before, after)) {
            json_object_set(settings->parameters_before, name, before);
            json_object_set(settings->parameters_after, name, after);
        }
        json_decref(after);
    }
    json_decref(now);
    return true;
}

MigrationSettings *migration_settings_new(Rpc *qmp, MigrationUse use,
                                          GError **error)
{
    g_autoptr(MigrationSettings) settings = g_new0(MigrationSettings, 1);

    settings->capabilities_before = json_array();
    settings->capabilities_after = json_array();
    settings->parameters_before = json_object();
    settings->parameters_after = json_object();
    return plan_capabilities(settings, qmp, use, error) &&
                   plan_parameters(settings, qmp, use, error)
               ? g_steal_pointer(&settings)
               : NULL;
}

void migration_settings_free(MigrationSettings *settings)
{
    if (settings) {
        json_decref(settings->capabilities_before);
        json_decref(settings->capabilities_after);
        json_decref(settings->parameters_before);
        json_decref(settings->parameters_after);
        g_free(settings);
    }
}

bool migration_settings_are_set(const MigrationSettings *settings)
{
    return json_array_size(settings->capabilities_before) == 0 &&
           json_object_size(settings->parameters_before) == 0;
}

static bool set_capabilities(Rpc *qmp, json_t *list, GError **error)
{
    return json_array_size(list) == 0 ||
           rpc_execute(qmp, "migrate-set-capabilities",
                       json_pack("{s:O}", "capabilities", list), NULL, error);
}

static bool set_parameters(Rpc *qmp, json_t *object, GError **error)
{
    return json_object_size(object) == 0 ||
           rpc_execute(qmp, "migrate-set-parameters", json_incref(object), NULL,
                       error);
}

/* QEMU checks some parameters against mapped-ram: they are set before it is
 * on, and set back when it is off. */
bool migration_settings_apply(const MigrationSettings *settings, Rpc *qmp,
                              GError **error)
{
    if (!set_parameters(qmp, settings->parameters_after, error)) {
        return false;
    }
    if (!set_capabilities(qmp, settings->capabilities_after, error)) {
        (void)set_parameters(qmp, settings->parameters_before, NULL);
        return false;
    }
    return true;
}

bool migration_settings_restore(const MigrationSettings *settings, Rpc *qmp,
                                GError **error)
{
    return set_capabilities(qmp, settings->capabilities_before, error) &&
           set_parameters(qmp, settings->parameters_before, error);
}

json_t *migration_settings_to_json(const MigrationSettings *settings)
{
    return json_pack("{s:O, s:O}", "capabilities",
                     settings->capabilities_before, "parameters",
                     settings->parameters_before);
}

MigrationSettings *migration_settings_from_json(const json_t *json)
{
    json_t *list = json_object_get(json, "capabilities");
    json_t *object = json_object_get(json, "parameters");
    MigrationSettings *settings;

    if (!json_is_array(list) || !json_is_object(object)) {
        return NULL;
    }
    settings = g_new0(MigrationSettings, 1);
    settings->capabilities_before = json_incref(list);
    settings->parameters_before = json_incref(object);
    return settings;
}
